"""Addresses of the object store, from which clients load big files, and to which they load them, past the API."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query

from app.api.deps import AppState, AppStateDep, ModelName, VersionNumber, problems
from app.api.schemas.transfer import SignedFiles, SignedFileView, UploadAddress
from app.api.schemas.view import must_time
from app.api.upload import UploadForm
from app.errors import InvalidInput, NotFound
from app.ids import is_id, new_id
from app.registry.exports import ExportRepository
from app.registry.models import ModelRepository

router = APIRouter()

ValidS = Annotated[int, Query(ge=60, le=86_400, description="Seconds for which the addresses are good.")]


@router.get(
    "/v1/models/{model}/versions/{version}/files",
    operation_id="list_version_files",
    summary="Addresses of the files of a version in the object store",
    responses=problems(404, 409),
    tags=["models"],
)
def list_version_files(
    app_state: AppStateDep, model: ModelName, version: VersionNumber, valid_s: ValidS = 900
) -> SignedFiles:
    """Whoever has an address can download the file, without a token. 409 where artifacts are in no object store: take
    `saved_model` there."""
    with app_state.database.read() as session:
        export = ExportRepository(session).get(ModelRepository(session).version(model, version).export_id)
    expires = must_time(time.time() + valid_s)
    files = [SignedFileView(**file._asdict()) for file in app_state.storage.signed(export.path, export.digest, valid_s)]
    return SignedFiles(digest=export.digest, files=files, expires_at=expires)


@router.post(
    "/v1/uploads",
    operation_id="create_upload",
    summary="An address in the object store to put a file of data to",
    status_code=201,
    responses=problems(409),
    tags=["datasets"],
)
def create_upload(app_state: AppStateDep, valid_s: ValidS = 3600) -> UploadAddress:
    """Put one file there (`PUT`, without a token), then make a data set of it: `POST /v1/datasets` with `upload` and
    `filename` instead of a file, within `ORPHAN_GRACE_S`, after which the file goes. 409 where artifacts are in no
    object store."""
    upload_id = new_id("upl")
    expires = must_time(time.time() + valid_s)
    return UploadAddress(id=upload_id, address=app_state.storage.upload_address(upload_id, valid_s), expires_at=expires)


def take_upload(app_state: AppState, form: UploadForm, spool: str) -> None:
    """Has the file that a form names as if the form had brought it."""
    upload_id, filename = form.fields["upload"], form.fields.get("filename", "")
    if form.filename is not None:
        raise InvalidInput.at("/upload", "Send either a file or the id of an upload.")
    if not is_id(upload_id, "upl"):
        raise InvalidInput.at("/upload", "Give the id that POST /v1/uploads answered.")
    if not filename:
        raise InvalidInput.at("/filename", "Give the file's name: its ending says the format.")
    file = app_state.storage.path(spool) / "upload"
    try:
        form.digest = app_state.storage.take_upload(upload_id, file, app_state.settings.max_upload_bytes)
    except NotFound:
        raise InvalidInput.at("/upload", "No file came to that address, or it is too long ago.") from None
    form.filename = filename
