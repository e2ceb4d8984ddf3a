"""The verbs of a model: `POST /v1/models/NAME:predict` and its siblings."""

from __future__ import annotations

from dataclasses import dataclass

from app.serving.protocol import Form


@dataclass(frozen=True)
class Verb:
    """Everything that distinguishes one prediction verb from another.

    Attributes:
        scope: that a token needs.
        signature: answers where a request names none.
        form: of the answer; a predict request by columns gets `Form.COLUMN`.
        rows_key: under which a request has its rows.
        request, response: names of the schemas in `app.api.schemas.predict`.
        summary: for the documentation.
    """

    scope: str
    signature: str
    form: Form
    rows_key: str
    request: str
    response: str
    summary: str


VERBS = {
    "predict": Verb(
        scope="predict",
        signature="serving_default",
        form=Form.ROW,
        rows_key="instances",
        request="PredictRequest",
        response="Predictions",
        summary="Predict, by rows (`instances`) or by columns (`inputs`)",
    ),
    "classify": Verb(
        scope="predict",
        signature="classification",
        form=Form.CLASSIFY,
        rows_key="examples",
        request="Examples",
        response="Classifications",
        summary="Classify examples",
    ),
    "regress": Verb(
        scope="predict",
        signature="regression",
        form=Form.REGRESS,
        rows_key="examples",
        request="Examples",
        response="Regressions",
        summary="Regress examples",
    ),
}
PATH_ENDINGS = tuple(f":{name}" for name in VERBS)


def is_prediction(path: str) -> bool:
    """Whether a path names a prediction: a verb of a model, or `/v2/models/NAME[/versions/VERSION]/infer`."""
    return path.endswith(PATH_ENDINGS) or (
        path.startswith("/v2/models/") and path.endswith("/infer") and path.count("/") in (4, 6)
    )


def verb_of(path: str) -> Verb | None:
    """The verb that a path ends with."""
    return VERBS.get(path.rpartition(":")[2]) if path.endswith(PATH_ENDINGS) else None
