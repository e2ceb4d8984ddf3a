"""The predict operations, for the OpenAPI document. `app.http.predict_app` answers them before FastAPI is asked; what
comes here was not for it: a process without a predictor, or a path that only looks like one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NoReturn

from fastapi import APIRouter, Query

from app.api.deps import LabelName, ModelName, VersionNumber, problems
from app.api.schemas import predict as schemas
from app.api.schemas.predict import CLASSIFY_EXAMPLES, PREDICT_EXAMPLES, REGRESS_EXAMPLES
from app.errors import Unavailable
from app.serving.verbs import VERBS

router = APIRouter(tags=["predict"])

_HEADERS: dict[str, Any] = {
    "headers": {
        "x-model": {"schema": {"type": "string"}},
        "x-model-version": {"schema": {"type": "string"}},
        "x-lineage-id": {"schema": {"type": "string"}},
        "x-prediction-id": {"schema": {"type": "string"}, "description": "For `feedback`."},
        "x-batch-rows": {"schema": {"type": "string"}, "description": "Rows of the batch that this was part of."},
        "x-queue-us": {"schema": {"type": "string"}},
        "x-run-us": {"schema": {"type": "string"}},
    }
}
_EXAMPLES = {"predict": PREDICT_EXAMPLES, "classify": CLASSIFY_EXAMPLES, "regress": REGRESS_EXAMPLES}


def refuse() -> NoReturn:
    raise Unavailable("This process has no predictor. Ask one that has, or start it with PREDICTOR=process.")


Ids = Annotated[bool, Query(description="Answer with `ids`: an identifier for each instance, for `feedback`.")]


def latest(model: ModelName, ids: Ids = False) -> None:
    refuse()


def by_version(model: ModelName, version: VersionNumber, ids: Ids = False) -> None:
    refuse()


def by_label(model: ModelName, label: LabelName, ids: Ids = False) -> None:
    refuse()


_PLACES: dict[str, tuple[str, Callable[..., None], str]] = {
    "": ("", latest, "The version behind the label `latest` answers."),
    "_version": ("/versions/{version}", by_version, "That version answers."),
    "_label": ("/labels/{label}", by_label, "The version behind the label answers."),
}

for _name, _verb in VERBS.items():
    for _suffix, (_place, _endpoint, _who) in _PLACES.items():
        router.add_api_route(
            f"/v1/models/{{model}}{_place}:{_name}",
            _endpoint,
            methods=["POST"],
            operation_id=f"{_name}{_suffix}",
            summary=_verb.summary,
            description=f"{_who} TensorFlow Serving's request and answer.",
            response_model=getattr(schemas, _verb.response),
            responses={**problems(404, 409), 200: _HEADERS},
            openapi_extra={
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {"$ref": f"#/components/schemas/{_verb.request}"},
                            "examples": _EXAMPLES[_name],
                        }
                    },
                }
            },
        )
