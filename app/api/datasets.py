"""Data sets: upload, look."""

from __future__ import annotations

import asyncio
import errno
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from app.api.deps import (
    AppState,
    AppStateDep,
    Caller,
    DatasetReference,
    IdempotencyKey,
    IdempotentRequest,
    PageSize,
    PageToken,
    problems,
    request_digest,
    respond,
)
from app.api.direct_transfer import take_upload
from app.api.schemas.dataset import DatasetList, DatasetView, Distribution, Distributions, Preview, Usage
from app.api.schemas.job import EvaluationList, EvaluationView
from app.api.upload import UploadForm, receive_form
from app.datasets.ingestor import INGESTOR
from app.datasets.limits import Limits
from app.errors import InvalidInput, ServiceError, Unavailable
from app.ids import ID_PATTERN, new_id
from app.registry.audit import AuditRepository
from app.registry.datasets import DatasetRepository, name_of_file
from app.registry.evaluations import EvaluationRepository
from app.registry.idempotency import IdempotencyRepository, StoredResponse
from app.registry.jobs.repository import JobRepository
from app.storage import Storage
from app.strict_json import read_json

router = APIRouter(tags=["datasets"])

MOST_COLUMNS = 100
_FIELDS = frozenset({"name", "schema", "upload", "filename"})
_IN_FLIGHT_S = 3600.0
_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "Its name says the format: .csv .jsonl .parquet .tfrecord, also .gz, .zst.",
                        },
                        "upload": {
                            "type": "string",
                            "pattern": ID_PATTERN,
                            "description": "Instead of a file: the id of an upload to the object store.",
                        },
                        "filename": {"type": "string", "description": "With `upload`: the file's name."},
                        "name": {
                            "type": "string",
                            "maxLength": 200,
                            "description": "Left out: the file's name without its endings.",
                        },
                        "schema": {
                            "type": "string",
                            "description": "JSON: how the file is written (`separator`, `encoding`, `null_values`, "
                            "`thousands`, "
                            "`decimal`), and by column `dtype`, `sequence`, `shape`, `null_values`, `thousands`, "
                            "`decimal`, `strip`, `timestamp`, that override what the data suggest.",
                            "examples": [
                                '{"columns": {"age": {"dtype": "float32"}}}',
                                '{"separator": ";", "encoding": "cp1252", "columns": {"price": {"strip": "$", '
                                '"thousands": ",", "null_values": ["-"]}, "joined": {"timestamp": ["year", "month"]}}}',
                            ],
                        },
                    },
                },
                "encoding": {"file": {"contentType": "application/octet-stream"}},
            }
        },
    }
}


@router.post(
    "/v1/datasets",
    operation_id="create_dataset",
    summary="Upload a data set",
    status_code=201,
    response_model=DatasetView,
    responses=problems(409),
    openapi_extra=_FORM,
)
async def create_dataset(
    request: Request, app_state: AppStateDep, token: Caller, idempotency_key: IdempotencyKey = None
) -> JSONResponse:
    """The file is read in bounded memory, checked to its end and stored as columns. Errors are reported with their
    line or byte offset, and then nothing is stored; what is worth knowing stays with it as `warnings`. The same
    content again answers with the same id."""
    spool = app_state.storage.dataset_key(new_id("ds"))
    file = app_state.storage.make(spool) / "upload"
    signs = asyncio.create_task(_give_signs(app_state.storage, spool))
    try:
        await asyncio.to_thread(INGESTOR.warm)  # its reader imports while the file arrives
        form = await receive_form(request.stream(), request.headers.get("content-type", ""), file, _FIELDS)
        if "upload" in form.fields:
            await run_in_threadpool(take_upload, app_state, form, spool)
        digest = request_digest(request, repr((form.digest, form.filename, sorted(form.fields.items()))).encode())
        idempotent = IdempotentRequest(token.id, idempotency_key, digest, app_state.settings.idempotency_ttl_s)
        async with app_state.ingesting:
            return await run_in_threadpool(store_upload, app_state, form, spool, idempotent)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        detail = "The service's disk is full, or takes no file so large. Nothing was stored."
        raise Unavailable(detail, retry_after_s=60.0) from error
    finally:
        signs.cancel()
        await asyncio.shield(asyncio.to_thread(app_state.storage.drop, spool))


async def _give_signs(storage: Storage, key: str, every_s: float = 1.0) -> None:
    """For ever: shows that a directory in which nothing changes is needed, while its upload waits for its turn or
    is read. Else the reconciler takes it for one that a dead process left."""
    while True:
        await asyncio.sleep(every_s)
        storage.touch(key)


@router.get("/v1/datasets", operation_id="list_datasets", summary="List data sets, newest first")
def list_datasets(app_state: AppStateDep, page_size: PageSize = 50, page_token: PageToken = None) -> DatasetList:
    with app_state.database.read() as session:
        rows, cursor = DatasetRepository(session).list(page_size=page_size, after=page_token)
    return DatasetList(datasets=[DatasetView.of(row) for row in rows], next_page_token=cursor)


@router.get("/v1/datasets/{dataset_id}", operation_id="get_dataset", summary="One data set", responses=problems(404))
def get_dataset(app_state: AppStateDep, dataset_id: DatasetReference) -> DatasetView:
    with app_state.database.read() as session:
        return DatasetView.of(DatasetRepository(session).named(dataset_id))


@router.get(
    "/v1/datasets/{dataset_id}/preview",
    operation_id="preview_dataset",
    summary="The first rows of a data set",
    responses=problems(404),
)
def preview_dataset(
    app_state: AppStateDep,
    dataset_id: DatasetReference,
    rows: Annotated[int, Query(ge=1, le=1000, description="Number of rows to return.")] = 20,
) -> Preview:
    from app.datasets.table import open_dataset

    with app_state.database.read() as session:
        path = DatasetRepository(session).named(dataset_id).path
    with app_state.storage.reading(path) as directory:
        return Preview(rows=open_dataset(directory).preview(rows))


@router.get(
    "/v1/datasets/{dataset_id}/distributions",
    operation_id="get_dataset_distributions",
    summary="Histograms, frequent values and strengths of a data set's columns",
    responses=problems(404),
)
def get_distributions(
    app_state: AppStateDep,
    dataset_id: DatasetReference,
    label: Annotated[
        str | None,
        Query(
            max_length=10_000,
            description="A column; the response has the strength of association of every other column with it.",
        ),
    ] = None,
    column: Annotated[
        list[str] | None, Query(max_length=MOST_COLUMNS, description="Only these columns; else the first 100.")
    ] = None,
) -> Distributions:
    """Of a large data set 100,000 evenly spread rows are looked at, of lists a million elements."""
    from app.datasets.distributions import distributions

    with app_state.database.read() as session:
        row = DatasetRepository(session).named(dataset_id)
    names = tuple(column or [one["name"] for one in row.columns[:MOST_COLUMNS]])
    with app_state.storage.reading(row.path) as directory:
        sampled, found = distributions(directory, names, label)
    return Distributions(
        dataset=row.id, rows=row.rows, sampled_rows=sampled, label=label, columns=[Distribution(**one) for one in found]
    )


@router.get(
    "/v1/datasets/{dataset_id}/usage",
    operation_id="get_dataset_usage",
    summary="What was made from a data set",
    responses=problems(404),
)
def get_usage(app_state: AppStateDep, dataset_id: DatasetReference) -> Usage:
    """Jobs that name it and versions that came of them, the newest 100 of each."""
    with app_state.database.read() as session:
        row = DatasetRepository(session).named(dataset_id)
        versions = DatasetRepository(session).versions_of(row.id)
        return Usage(
            jobs=[job.id for job in JobRepository(session).using(row.id)],
            versions=[{"model": version.model, "version": version.number} for version in versions],
        )


@router.get(
    "/v1/datasets/{dataset_id}/evaluations",
    operation_id="list_dataset_evaluations",
    summary="What was measured on a data set, of all models, newest first",
    responses=problems(404),
)
def list_evaluations(app_state: AppStateDep, dataset_id: DatasetReference) -> EvaluationList:
    with app_state.database.read() as session:
        row = DatasetRepository(session).named(dataset_id)
        rows = EvaluationRepository(session).on_dataset(row.id)
    return EvaluationList(evaluations=[EvaluationView.of(row) for row in rows])


def store_upload(app_state: AppState, form: UploadForm, spool: str, idempotent: IdempotentRequest) -> JSONResponse:
    """Ingests the spooled file, with the key taken before and the answer kept with the row."""
    if idempotent.key is not None:
        with app_state.database.session() as session:
            keys = IdempotencyRepository(session)
            known = keys.begin(
                idempotent.token_id, idempotent.key, idempotent.digest, ttl_s=idempotent.ttl_s, in_flight_s=_IN_FLIGHT_S
            )
        if known is not None:
            return respond(known)
    try:
        return respond(_ingest(app_state, form, spool, idempotent))
    except BaseException:
        if idempotent.key is not None:
            with app_state.database.session() as session:
                IdempotencyRepository(session).abandon(idempotent.token_id, idempotent.key)
        raise


def _ingest(app_state: AppState, form: UploadForm, spool: str, idempotent: IdempotentRequest) -> StoredResponse:
    limits = Limits(max_bytes=app_state.settings.max_upload_bytes, max_columns=app_state.settings.max_columns)
    filename = form.filename or ""
    schema = _schema(form.fields.get("schema"))
    name = form.fields.get("name") or name_of_file(filename)
    if not name or len(name) > 200:
        raise InvalidInput.at("/name", "Give a name of 1 to 200 characters.")
    dataset_id = new_id("ds")
    key = app_state.storage.dataset_key(dataset_id)
    directory = app_state.storage.make(key)
    kept = False
    try:
        made = INGESTOR.ingest(app_state.storage.path(spool) / "upload", filename, directory, limits, schema)
        app_state.storage.publish(key)
        with app_state.database.session() as session:
            row = DatasetRepository(session).add(
                name=name,
                digest=made.digest,
                format=made.format,
                rows=made.rows,
                bytes=made.bytes,
                columns=made.columns,
                warnings=made.warnings,
                path=key,
                created_by=idempotent.token_id,
                dataset_id=dataset_id,
            )
            kept = row.id == dataset_id
            AuditRepository(session).add(idempotent.token_id, "dataset.create", row.id)
            answer = StoredResponse(
                201, {"Location": f"/v1/datasets/{row.id}"}, DatasetView.of(row).model_dump(mode="json")
            )
            if idempotent.key is not None:
                headers, content = answer.headers, answer.body
                IdempotencyRepository(session).finish(
                    idempotent.token_id, idempotent.key, answer.status, headers, content
                )
        return answer
    finally:
        if not kept:
            app_state.storage.discard(key)


def _schema(text: str | None) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        value = read_json(text.encode())
    except ServiceError as error:
        raise InvalidInput.at("/schema", error.detail) from None
    if not isinstance(value, dict):
        raise InvalidInput.at("/schema", 'The schema is an object: {"columns": {name: {"dtype": …}}}.')
    return value
