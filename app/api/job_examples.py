"""The body of `POST /v1/jobs` in the OpenAPI document: its schema, and examples that work when sent as they are (the
ids are of things that must exist)."""

from __future__ import annotations

from typing import Any

from app.jobs.request_schema import JOBS

_DATASET = "ds_01k9zv0q2m8x4t6b3c5d7e9f1g"

JOB_SCHEMA: dict[str, Any] = {
    "oneOf": [schema | {"title": f"{name.capitalize()}Job"} for name, schema in JOBS.items()],
    "description": "`GET /v1/estimators` has the schemas of estimators, columns, heads and optimizers.",
}

EXAMPLES: dict[str, Any] = {
    "train": {
        "summary": "Train a classifier; feature columns from the data",
        "value": {
            "type": "train",
            "model": "penguins",
            "estimator": {"type": "DNNClassifier", "args": {"hidden_units": [32, 16]}},
            "columns": "auto",
            "data": {"train": {"dataset": _DATASET, "label": "species"}, "holdout": 0.2},
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
                "args": {
                    "hidden_units": [16],
                    "feature_columns": [
                        {"type": "numeric_column", "key": "bill_length_mm", "normalizer": "zscore"},
                        {
                            "type": "indicator_column",
                            "categorical_column": {
                                "type": "categorical_column_with_vocabulary_list",
                                "key": "island",
                                "vocabulary_list": ["Biscoe", "Dream", "Torgersen"],
                            },
                        },
                    ],
                },
            },
            "data": {
                "train": {"dataset": _DATASET, "label": "species", "missing": {"bill_length_mm": "mean"}},
                "holdout": 0.2,
            },
            "train": {"max_steps": 500},
            "promote": {"label": "latest", "when": {"metric": "accuracy", "at_least": 0.9}},
        },
    },
}
