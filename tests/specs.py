"""Small job specifications for tests that need one of a type, not a job that could run."""

from __future__ import annotations

from typing import Any

from app.jobs.spec import JobSpec, decode
from tests.jobs.stored import stored

_STORED = {
    "train": "train_evaluation_data_renamed_label",
    "evaluate": "evaluate_version",
    "export": "export_version_unpromoted",
    "predict": "predict_model",
}
_NO_SOURCE = {"job": "a job", "step": 100, "checkpoint": "a checkpoint", "model": None, "version": None}


def job_spec(type: str = "train", model: str = "penguins", **changes: Any) -> JobSpec:
    """A specification of that type that names no data set, job or checkpoint of a registry.

    Args:
        changes: JSON that is merged into the stored form, for example `data={"train": {"dataset": "ds_…"}}`.
    """
    content = stored(_STORED[type])["spec"] | {"model": model}
    for part in (content, content.get("train_spec", {})):
        for data in part.get("data", {}).values():
            if isinstance(data, dict):
                data["dataset"] = "a data set"
    if type == "train":
        content["warm_start_from"] = _NO_SOURCE if "warm_start_from" in changes else None
    else:
        content["source"] = _NO_SOURCE
    return decode(_merged(content, changes))


def _merged(content: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(content)
    for name, change in changes.items():
        old = merged.get(name)
        merged[name] = _merged(old, change) if isinstance(change, dict) and isinstance(old, dict) else change
    return merged
