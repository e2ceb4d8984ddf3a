"""The body of `POST /v1/jobs` in the OpenAPI document: its schema, and examples that work when sent as they are, once
the ids in them are those of a data set and a training job that exist."""

from __future__ import annotations

from typing import Any

from app.jobs.request import REQUESTS

DATASET = "ds_01k9zv0q2m8x4t6b3c5d7e9f1g"
JOB = "job_01k9zv0q2m8x4t6b3c5d7e9f1g"
_REFERENCES = {kind: f"#/components/schemas/{model.__name__}" for kind, model in REQUESTS.items()}

JOB_SCHEMA: dict[str, Any] = {
    "oneOf": [{"$ref": reference} for reference in _REFERENCES.values()],
    "discriminator": {"propertyName": "type", "mapping": _REFERENCES},
    "description": "`GET /v1/estimators` has the schemas of estimators, columns, heads and optimizers.",
}

_FEATURE_COLUMNS = [
    {"type": "numeric_column", "key": "bill_length_mm", "normalizer": "zscore"},
    {
        "type": "indicator_column",
        "categorical_column": {
            "type": "categorical_column_with_vocabulary_list",
            "key": "island",
            "vocabulary_list": ["Biscoe", "Dream", "Torgersen"],
        },
    },
]

EXAMPLES: dict[str, Any] = {
    "train": {
        "summary": "Train a classifier; feature columns from the data",
        "value": {
            "type": "train",
            "model": "penguins",
            "estimator": {"type": "DNNClassifier", "args": {"hidden_units": [32, 16]}},
            "columns": "auto",
            "data": {"train": {"dataset": DATASET, "label": "species"}, "holdout": 0.2},
            "train": {"max_steps": 2000, "evaluate_every_steps": 500},
        },
    },
    "train_columns": {
        "summary": "Train with feature columns of your own, promoted when it is good enough",
        "value": {
            "type": "train",
            "model": "penguins",
            "estimator": {
                "type": "DNNClassifier",
                "args": {"hidden_units": [16], "feature_columns": _FEATURE_COLUMNS},
            },
            "data": {
                "train": {"dataset": DATASET, "label": "species", "missing": {"bill_length_mm": "mean"}},
                "holdout": 0.2,
            },
            "train": {"max_steps": 500},
            "promote": {"label": "latest", "when": {"metric": "accuracy", "at_least": 0.9}},
        },
    },
    "train_early_stopping": {
        "summary": "Stop when the accuracy no longer improves, and export the best checkpoint",
        "value": {
            "type": "train",
            "model": "penguins",
            "estimator": {"type": "DNNClassifier", "args": {"hidden_units": [16]}},
            "columns": "auto",
            "data": {"train": {"dataset": DATASET, "label": "species"}, "holdout": 0.2},
            "train": {
                "max_steps": 5000,
                "evaluate_every_steps": 200,
                "early_stopping": {"metric": "accuracy", "patience_steps": 600},
            },
            "export": "best",
            "best_metric": {"metric": "accuracy"},
        },
    },
    "train_warm_start": {
        "summary": "Continue from the weights of a job's last checkpoint",
        "value": {
            "type": "train",
            "model": "penguins",
            "estimator": {"type": "DNNClassifier", "args": {"hidden_units": [32, 16]}},
            "columns": "auto",
            "data": {"train": {"dataset": DATASET, "label": "species"}, "holdout": 0.2},
            "train": {"max_steps": 500},
            "warm_start_from": {"job": JOB},
        },
    },
    "evaluate": {
        "summary": "Evaluate the version that serves on a data set",
        "value": {
            "type": "evaluate",
            "model": "penguins",
            "data": {"eval": {"dataset": DATASET}},
            "name": "monthly",
        },
    },
    "export": {
        "summary": "Export a job's last checkpoint under another label",
        "value": {"type": "export", "job": JOB, "promote": {"label": "canary"}},
    },
    "predict": {
        "summary": "Predict every row of a data set; the job's result names the files",
        "value": {"type": "predict", "model": "penguins", "data": {"predict": {"dataset": DATASET}}},
    },
}
