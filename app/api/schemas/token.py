"""Tokens, the catalogue and the audit."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from app.api.schemas.view import Json, Request, Time, View, must_time
from app.jobs.fields import FreeText
from app.registry import tables


class TokenRequest(Request):
    name: FreeText = Field(min_length=1, max_length=100, description="Display name of the token.")
    scopes: list[Literal["read", "submit", "predict", "admin"]] = Field(
        min_length=1, max_length=4, description="What its bearer may do; `admin` may do everything."
    )

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"name": "my notebook", "scopes": ["read", "predict"]}]},
    )


class Bearer(View):
    """Who sent a request."""

    id: str
    name: str
    scopes: list[str] = Field(description="read submit predict admin; `admin` may do everything.")


class TokenView(View):
    id: str
    name: str
    scopes: list[str]
    created_at: Time
    revoked_at: Time | None
    token: str | None = Field(default=None, description="The secret: in the answer to the POST only, never again.")

    @classmethod
    def of(cls, row: tables.Token, secret: str | None = None) -> TokenView:
        return cls.copy_of(row, token=secret)


class TokenList(View):
    tokens: list[TokenView]


class AuditView(View):
    id: int
    at: Time
    token_id: str | None
    action: str
    target: str
    detail: Json

    @classmethod
    def of(cls, row: tables.AuditEntry) -> AuditView:
        return cls.copy_of(row, at=must_time(row.at))


class AuditList(View):
    entries: list[AuditView]
    next_page_token: str | None


class Drained(View):
    jobs: int = Field(description="Number of running jobs that were asked.")


class CatalogueView(View):
    name: str
    description: str
    params_schema: Json


class EstimatorsView(View):
    """What a job can ask for. `$defs` has the JSON schema of each type's arguments by its name."""

    estimators: list[str]
    heads: list[str]
    columns: list[str]
    optimizers: list[str]
    schedules: list[str]
    definitions: dict[str, Any] = Field(serialization_alias="$defs")
    catalogue: list[CatalogueView] = Field(description="`model_fn`s that the operator installed on the workers.")
