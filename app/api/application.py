"""FastAPI: the routes together, and errors as problems."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from app.api import (
    datasets,
    deletions,
    direct_transfer,
    estimators,
    evaluations,
    events,
    export_download,
    feedback,
    health,
    job_compare,
    job_records,
    jobs,
    model_serving,
    models,
    openapi,
    operations,
    releases,
    serving_health,
    tokens,
)
from app.api import predict_docs as predict
from app.api.deps import AppState
from app.errors import ServiceError
from app.http.body import ClientGone
from app.http.problems import Headers, from_validation, plain_problem, problem
from app.version import __version__

_ROUTERS = (
    datasets,
    deletions,
    job_compare,  # before the routes of one job: its path looks like one of theirs
    jobs,
    job_records,
    evaluations,
    events,
    estimators,
    predict,
    models,
    model_serving,
    releases,
    export_download,
    direct_transfer,
    feedback,
    tokens,
    operations,
    serving_health,
    health,
)


def create_api(app_state: AppState | None = None) -> FastAPI:
    """The FastAPI application. It stands behind the admission layer: alone it checks no token. Without a
    service it only has its document."""
    api = FastAPI(title=openapi.TITLE, version=__version__, docs_url=None, redoc_url=None)
    api.state.app_state = app_state
    api.openapi = lambda: openapi.document(api)  # type: ignore[method-assign]
    for module in _ROUTERS:
        api.include_router(module.router)
    api.add_exception_handler(ServiceError, _on_error)
    api.add_exception_handler(RequestValidationError, _on_error)
    api.add_exception_handler(HTTPException, _on_error)
    api.add_exception_handler(ClientGone, _on_gone)
    api.add_exception_handler(Exception, _on_error)
    return api


async def _on_error(request: Request, error: Exception) -> Response:
    return _response(*_as_problem(error, request.url.path))


async def _on_gone(request: Request, error: Exception) -> Response:
    """Nobody reads this; the status is for the log."""
    return Response(status_code=499)


def _as_problem(error: Exception, path: str) -> tuple[int, Headers, bytes]:
    if isinstance(error, HTTPException):
        if isinstance(error.__cause__, ServiceError):  # FastAPI wraps what reading a body raises
            return problem(error.__cause__, path)
        headers = [(name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()]
        return plain_problem(error.status_code, path, _DETAILS.get(error.status_code, ""), headers)
    if isinstance(error, RequestValidationError):
        return problem(from_validation(list(error.errors())), path)
    return problem(error, path)


_DETAILS = {
    400: "The request's body cannot be read.",
    404: "There is nothing at this path. See /docs.",
    405: "The path does not take this method. See /docs.",
}


def _response(status: int, headers: Headers, body: bytes) -> Response:
    response = Response(body, status)
    response.raw_headers = [*headers, (b"content-length", str(len(body)).encode())]
    return response
