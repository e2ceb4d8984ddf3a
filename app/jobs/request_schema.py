"""What a job request may hold, as JSON Schema: field names, kinds, limits and defaults. `app/jobs/parse.py` checks what
a schema cannot: names against the data, and what the fields mean together."""

from __future__ import annotations

from typing import Any

from app.ids import NAME_PATTERN

Schema = dict[str, Any]

MAX_STEPS = 10**12
_ID = r"^%s_[0-9a-hjkmnp-tv-z]{26}$"
_STEPS: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_STEPS}
_COLUMN: Schema = {"type": "string", "minLength": 1, "maxLength": 200}
_NAME: Schema = {"type": "string", "pattern": NAME_PATTERN, "maxLength": 100}
_VERSION: Schema = {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}


def _object(properties: Schema, required: tuple[str, ...] = ()) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _id(prefix: str) -> Schema:
    return {"type": "string", "pattern": _ID % prefix}


_MISSING: Schema = {
    "anyOf": [
        {"enum": ["mean", "zero", "category", "empty", "drop", "error"]},
        _object({"constant": {"type": ["number", "string"], "maxLength": 1000}}, ("constant",)),
    ]
}
_LABEL: Schema = {
    "anyOf": [
        _COLUMN,
        {"type": "array", "items": _COLUMN, "minItems": 1, "maxItems": 10_000},
        {
            "type": "object",
            "additionalProperties": {"anyOf": [_COLUMN, {"type": "array", "items": _COLUMN, "minItems": 1}]},
            "minProperties": 1,
            "maxProperties": 100,
        },
    ]
}
"""One column; several side by side (a vector per row); or one of those for each head of a MultiHead, by its name."""

_BATCH: Schema = {"type": "integer", "minimum": 1, "maximum": 1_000_000}
_METRIC: Schema = {"type": "string", "minLength": 1, "maxLength": 200}

TRAIN_DATA = _object(
    {
        "dataset": _id("ds"),
        "label": _nullable(_LABEL) | {"default": None},
        "batch_size": _BATCH | {"default": 32},
        "shuffle": {"type": "boolean", "default": True},
        "epochs": _nullable(_STEPS) | {"default": None},
        "ignore": {"type": "array", "items": _COLUMN, "maxItems": 10_000, "default": []},
        "weight": _nullable(_COLUMN) | {"default": None},
        "missing": {"type": "object", "additionalProperties": _MISSING, "maxProperties": 10_000, "default": {}},
    },
    ("dataset",),
)
EVAL_DATA = _object(
    {
        "dataset": _id("ds"),
        "label": _nullable(_LABEL) | {"default": None},
        "batch_size": _BATCH | {"default": 256},
        "part": {"enum": ["all", "train", "holdout"], "default": "all"},
    },
    ("dataset",),
)
PREDICT_DATA = _object({"dataset": _id("ds"), "batch_size": _BATCH | {"default": 1024}}, ("dataset",))

TRAINING = _object(
    {
        "max_steps": _nullable(_STEPS) | {"default": None},
        "save_checkpoints_steps": _nullable(_STEPS) | {"default": None},
        "keep_checkpoint_max": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 5},
        "keep_checkpoint_every_n_hours": _nullable({"type": "number", "exclusiveMinimum": 0, "maximum": 10**5})
        | {"default": None},
        "seed": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1, "default": 1},
        "evaluate_every_steps": _nullable(_STEPS) | {"default": None},
        "early_stopping": _nullable(
            _object(
                {
                    "metric": _METRIC | {"default": "loss"},
                    "patience_steps": _STEPS,
                    "mode": {"enum": ["min", "max", None], "default": None},
                    "min_steps": {"type": "integer", "minimum": 0, "maximum": MAX_STEPS, "default": 0},
                },
                ("patience_steps",),
            )
        )
        | {"default": None},
    }
)
_JOB_FIELDS: Schema = {
    "queue": _NAME | {"default": "default"},
    "priority": {"type": "integer", "minimum": 0, "maximum": 9, "default": 5},
    "timeout_s": _nullable({"type": "number", "exclusiveMinimum": 0, "maximum": 10**8}) | {"default": None},
    "wait_timeout_s": _nullable({"type": "number", "exclusiveMinimum": 0, "maximum": 10**8}) | {"default": None},
    "max_attempts": _nullable({"type": "integer", "minimum": 1, "maximum": 100}) | {"default": None},
    # Less than the least is what a trainer needs before it has read any data.
    "memory_limit_bytes": _nullable({"type": "integer", "minimum": 2**29, "maximum": 2**50}) | {"default": None},
}
_SOURCE: Schema = {
    "model": _NAME,
    "version": _VERSION,
    "checkpoint": _id("ckpt"),
    "job": _id("job"),
    "step": {"type": "integer", "minimum": 0, "maximum": MAX_STEPS},
}
_GATE = _object(
    {"metric": _METRIC, "at_least": {"type": "number"}, "at_most": {"type": "number"}},
    ("metric",),
)
_PROMOTE: Schema = _nullable(
    _object({"label": _NAME | {"default": "latest"}, "when": _nullable(_GATE) | {"default": None}})
) | {"default": {"label": "latest", "when": None}}

TRAIN = _object(
    {
        "type": {"const": "train"},
        "model": _NAME,
        "estimator": _object(
            {"type": {"type": "string", "maxLength": 100}, "args": {"type": "object", "default": {}}}, ("type",)
        ),
        "columns": {"enum": ["auto", None], "default": None},
        "data": _object(
            {
                "train": TRAIN_DATA,
                "eval": _nullable(EVAL_DATA) | {"default": None},
                "holdout": _nullable({"type": "number", "exclusiveMinimum": 0, "maximum": 0.9}) | {"default": None},
            },
            ("train",),
        ),
        "train": TRAINING | {"default": {}},
        "warm_start_from": _nullable(
            _object({k: _SOURCE[k] for k in ("model", "version", "checkpoint", "job", "step")})
        )
        | {"default": None},
        "export": {"enum": ["final", "best", "none"], "default": "final"},
        "best_metric": _nullable(
            _object({"metric": _METRIC, "mode": {"enum": ["min", "max", None], "default": None}}, ("metric",))
        )
        | {"default": None},
        "promote": _PROMOTE,
        **_JOB_FIELDS,
    },
    ("type", "model", "estimator", "data"),
)
EVALUATE = _object(
    {
        "type": {"const": "evaluate"},
        **_SOURCE,
        "data": _object({"eval": EVAL_DATA}, ("eval",)),
        "steps": _nullable(_STEPS) | {"default": None},
        "name": _NAME | {"default": "eval"},
        **_JOB_FIELDS,
    },
    ("type", "data"),
)
EXPORT = _object({"type": {"const": "export"}, **_SOURCE, "promote": _PROMOTE, **_JOB_FIELDS}, ("type",))
PREDICT = _object(
    {
        "type": {"const": "predict"},
        **_SOURCE,
        "data": _object({"predict": PREDICT_DATA}, ("predict",)),
        **_JOB_FIELDS,
    },
    ("type", "data"),
)

JOBS: dict[str, Schema] = {"train": TRAIN, "evaluate": EVALUATE, "export": EXPORT, "predict": PREDICT}
