"""The OpenAPI document: what FastAPI finds in the routes, and what the admission layer adds to each of them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from app.api.schemas.predict import PREDICT_BODIES
from app.api.schemas.view import Problem
from app.http.auth import PUBLIC_PATHS, scope_needed
from app.http.problems import MEDIA_TYPE
from app.jobs.request import REQUESTS
from app.version import __version__


class _Schemas(GenerateJsonSchema):
    """Schemas whose fields have no `title`: it would repeat the field's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


TITLE = "Estimator Service"
_DESCRIPTION = """Train, evaluate and serve TensorFlow estimators.

Send `Authorization: Bearer TOKEN`. The first token is in the file `admin-token` of the data directory; it can make
others (`POST /v1/tokens`). Errors are `application/problem+json`: `detail` says what is wrong and how to fix it."""

TAGS = [
    {"name": "datasets", "description": "Upload data; see its types and statistics."},
    {"name": "jobs", "description": "Train, evaluate, export, predict over a data set."},
    {"name": "models", "description": "Versions, labels, lineage."},
    {"name": "releases", "description": "Bring a new version to a share of the requests first."},
    {"name": "feedback", "description": "Keep requests, send labels, see how good predictions were."},
    {"name": "predict", "description": "TensorFlow Serving's REST API."},
    {"name": "tokens", "description": "Tokens and their scopes."},
    {"name": "operations", "description": "Health and counters."},
]

_MEANINGS = {
    "400": "The request cannot be read.",
    "401": "No valid token.",
    "403": "The token lacks the scope, or a foreign Origin.",
    "404": "Not found.",
    "408": "The body came too slowly.",
    "409": "It is not in a state that allows this; `detail` says which.",
    "412": "It was changed by another request first.",
    "413": "The body is over the limit.",
    "415": "Not a content type that is taken.",
    "421": "The `Host` header is not allowed.",
    "422": "The input is invalid; `errors` has a JSON pointer for each fault.",
    "429": "Too many requests, or too many waiting jobs. Try again after `Retry-After` seconds.",
    "503": "A part of the service that is needed does not answer. Try again after `Retry-After` seconds.",
    "default": "Any other error.",
}
_EXAMPLES = {
    "401": ("A valid token is needed", "Send the header `Authorization: Bearer TOKEN`."),
    "404": ("Not found", "There is no job of that id."),
    "409": ("Conflict", "The job is SUCCEEDED: it has ended and cannot be cancelled."),
    "422": ("Invalid input", "/type: A job is an object whose 'type' is one of train, evaluate."),
    "429": ("Overloaded", "1000 jobs wait already, which is the limit. Try again later."),
}
_BODY_STATUSES = ("408", "413", "415", "422")


def document(app: FastAPI) -> dict[str, Any]:
    """The document of an app, made once."""
    if app.openapi_schema is None:
        app.openapi_schema = _make(app)
    return app.openapi_schema


def _make(app: FastAPI) -> dict[str, Any]:
    made = get_openapi(title=TITLE, version=__version__, description=_DESCRIPTION, routes=app.routes, tags=TAGS)
    components = made.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    bodies: tuple[type[BaseModel], ...] = (Problem, *PREDICT_BODIES, *REQUESTS.values())
    for model in bodies:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}", schema_generator=_Schemas)
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, operations in made["paths"].items():
        for method, operation in operations.items():
            _complete(path, method.upper(), operation)
    made["paths"] = dict(sorted(made["paths"].items()))
    components["schemas"] = dict(sorted(schemas.items()))
    return made


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """Adds what the admission layer answers, and the scope."""
    responses = operation["responses"]
    statuses = {"400", "421", "default", *(status for status in responses if status in _MEANINGS)}
    if path not in PUBLIC_PATHS:
        scope = scope_needed(method, path)
        operation["security"] = [{"token": []}]
        operation["description"] = f"{operation.get('description', '')}\n\nScope: `{scope}`.".strip()
        statuses |= {"401", "403", "429", "503"}
    if "parameters" in operation:
        statuses.add("422")
    if "requestBody" in operation:
        statuses |= set(_BODY_STATUSES)
    else:
        statuses |= {"413", "422"}  # a body where none is wanted is read within limits all the same
    for status in sorted(statuses):
        responses[status] = _problem(status)


def _problem(status: str) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/Problem"}}
    if status in _EXAMPLES:
        title, detail = _EXAMPLES[status]
        content["example"] = {
            "type": f"urn:estimator-service:problem:{title.lower().replace(' ', '-')}",
            "title": title,
            "status": int(status),
            "detail": detail,
            "instance": "/v1/jobs",
        }
    described: dict[str, Any] = {"description": _MEANINGS[status], "content": {MEDIA_TYPE: content}}
    if status in {"429", "503"}:
        described["headers"] = {"Retry-After": {"schema": {"type": "string"}}}
    return described
