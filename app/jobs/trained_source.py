"""What a job starts from, and whether another data set fits what was trained."""

from __future__ import annotations

from typing import Any

from app.errors import quote_name
from app.jobs.dataset import DatasetInfo, is_number, is_sequence
from app.jobs.plan import Mistakes, Source, Sources


def find_source(request: dict[str, Any], models: Sources | None, mistakes: Mistakes, at: str = "") -> Source | None:
    """The one trained state that a request names: a model (and version), a checkpoint, or a job (and step)."""
    named = [name for name in ("checkpoint", "job", "model") if request.get(name) is not None]
    if "model" in named and len(named) > 1:
        named.remove("model")  # a job's own model name may stand beside its source
    extra = {"version": "model", "step": "job"}
    wrong = [name for name, owner in extra.items() if request.get(name) is not None and owner not in named]
    if len(named) != 1 or wrong:
        mistakes.add(at, "Name one source: 'model' with 'version', or 'checkpoint', or 'job' with 'step'.")
        return None
    found = None
    if models is not None and named[0] == "model":
        found = models.version(request["model"], request.get("version"))
    elif models is not None and named[0] == "checkpoint":
        found = models.checkpoint(request["checkpoint"])
    elif models is not None:
        found = models.job(request["job"], request.get("step"))
    if found is None:
        mistakes.add(at + "/" + named[0], "There is no such trained state, or its files are gone.")
    return found


def renamed(labels: list[dict[str, Any]], label: Any, mistakes: Mistakes) -> list[dict[str, Any]]:
    """The trained labels, read from columns of other names."""
    named = label if isinstance(label, dict) else {None: label}
    if set(named) != {entry["head"] for entry in labels}:
        mistakes.add("/data/eval/label", "Name the same heads as in training.")
        return labels
    columns = {head: [part] if isinstance(part, str) else part for head, part in named.items()}
    return [entry | {"columns": columns[entry["head"]]} for entry in labels]


def check_same_columns(
    info: DatasetInfo,
    features: list[dict[str, Any]],
    labels: list[dict[str, Any]],
    at: str,
    mistakes: Mistakes,
) -> None:
    """Note every feature or label that a second data set lacks or has in another form."""
    for feature in features:
        column = info.column(feature["name"])
        if column is None:
            if feature["missing"]["policy"] in ("drop", "error"):
                mistakes.add(at + "/dataset", f"The data set lacks the feature {quote_name(feature['name'])}.")
        elif is_number(column) != (feature["dtype"] != "string") or is_sequence(column) != feature["sequence"]:
            detail = f"Column {quote_name(feature['name'])} has another kind of values than in training."
            mistakes.add(at + "/dataset", detail)
        elif column.get("nulls") and feature["missing"]["policy"] == "error":
            mistakes.add(at + "/dataset", f"Column {quote_name(feature['name'])} has nulls; training had no policy.")
    for label in labels:
        for name in label["columns"]:
            column = info.column(name)
            if column is None:
                mistakes.add(at + "/label", f"The data set has no column {quote_name(name)} for the label.")
            elif column.get("nulls") and not is_sequence(column):
                mistakes.add(at + "/label", f"Label column {quote_name(name)} has {column['nulls']} nulls.")
            elif label["vocabulary"] is not None:
                unknown = set(column.get("vocabulary") or ()) - set(label["vocabulary"])
                if unknown:
                    detail = f"Label column {quote_name(name)} has {len(unknown)} values that training did not have."
                    mistakes.add(at + "/label", detail)
