"""The files of a version, to take them elsewhere."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask

from app.api.deps import AppStateDep, ModelName, VersionNumber, problems
from app.errors import NotFound
from app.registry.exports import ExportRepository
from app.registry.models import ModelRepository
from app.tar_stream import TarStream

router = APIRouter(tags=["models"])

_MEDIA_TYPE = "application/x-tar"


@router.get(
    "/v1/models/{model}/versions/{version}/saved_model",
    operation_id="download_saved_model",
    summary="SavedModel of a version, as a tar archive",
    response_class=StreamingResponse,
    responses={
        **problems(404),
        200: {
            "description": "The files as `MODEL/VERSION/…`, where TensorFlow Serving looks for them.",
            "content": {_MEDIA_TYPE: {}},
            "headers": {"ETag": {"schema": {"type": "string"}, "description": "Digest of the export."}},
        },
    },
)
def download_saved_model(app_state: AppStateDep, model: ModelName, version: VersionNumber) -> StreamingResponse:
    """The version need not be loaded. Its files never change; the digest is also in its lineage."""
    with app_state.database.read() as session:
        export = ExportRepository(session).get(ModelRepository(session).version(model, version).export_id)
    files = app_state.storage.hold(export.path, export.digest)
    if not files.path.is_dir():
        raise NotFound(f"The files of version {version} are gone.")
    archive = TarStream(files.path, f"{model}/{version}")
    headers = {
        "Content-Length": str(len(archive)),
        "Content-Disposition": f'attachment; filename="{model}-{version}.tar"',
        "ETag": f'"{export.digest}"',
    }
    return StreamingResponse(
        iter(archive), media_type=_MEDIA_TYPE, headers=headers, background=BackgroundTask(files.release)
    )
