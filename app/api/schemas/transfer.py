"""Addresses for transfers past the API."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.api.schemas.view import Time, View


class SignedFileView(View):
    name: str = Field(description="Below the version's directory.", examples=["variables/variables.index"])
    bytes: int
    sha256: str = Field(description="Of the content, in hexadecimal digits.")
    address: str = Field(description="Download it from there; no token is needed.")


class SignedFiles(View):
    """Files of a version."""

    digest: str = Field(description="Of the export.")
    files: list[SignedFileView]
    expires_at: Time


class UploadAddress(View):
    id: str = Field(examples=["upl_01k9zv0q2m8x4t6b3c5d7e9f1g"])
    method: Literal["PUT"] = "PUT"
    address: str = Field(description="Send the file's bytes there as the body; no token is needed.")
    expires_at: Time
