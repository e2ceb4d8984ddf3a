"""Trained states that jobs start from, and the check of other data sets against their features and labels."""

from __future__ import annotations

from collections.abc import Sequence

from app.errors import quote_name
from app.jobs.dataset import DatasetInfo, is_number, is_sequence
from app.jobs.field_errors import FieldErrors
from app.jobs.fields import HeadLabel, LabelColumns
from app.jobs.labels import column_names
from app.jobs.plan import TrainedSource, TrainedSources
from app.jobs.request import SourceOptions
from app.jobs.spec import Feature, LabelSpec


def find_source(
    request: SourceOptions, models: TrainedSources | None, errors: FieldErrors, at: str = ""
) -> TrainedSource | None:
    """The one trained state that a request names: a model (and version), a checkpoint, or a job (and step)."""
    named = [name for name in ("checkpoint", "job", "model") if getattr(request, name) is not None]
    if "model" in named and len(named) > 1:
        named.remove("model")  # a job's own model name may stand beside its source
    extra = {"version": "model", "step": "job"}
    wrong = [name for name, owner in extra.items() if getattr(request, name) is not None and owner not in named]
    if len(named) != 1 or wrong:
        errors.add(at, "Name one source: 'model' with 'version', or 'checkpoint', or 'job' with 'step'.")
        return None
    found = None if models is None else _look_up(request, models, named[0])
    if found is None:
        errors.add(at + "/" + named[0], "There is no such trained state, or its files are gone.")
    return found


def _look_up(request: SourceOptions, models: TrainedSources, named: str) -> TrainedSource | None:
    if named == "model" and request.model is not None:
        return models.version(request.model, request.version)
    if named == "checkpoint" and request.checkpoint is not None:
        return models.checkpoint(request.checkpoint)
    return None if request.job is None else models.job(request.job, request.step)


def renamed_labels(labels: tuple[LabelSpec, ...], label: LabelColumns, errors: FieldErrors) -> tuple[LabelSpec, ...]:
    """The trained labels, read from columns of other names."""
    named: dict[str | None, HeadLabel] = dict(label.items()) if isinstance(label, dict) else {None: label}
    if set(named) != {entry.head for entry in labels}:
        errors.add("/data/eval/label", "Name the same heads as in training.")
        return labels
    return tuple(entry.model_copy(update={"columns": column_names(named[entry.head])}) for entry in labels)


def check_same_columns(
    info: DatasetInfo, features: Sequence[Feature], labels: Sequence[LabelSpec], at: str, errors: FieldErrors
) -> None:
    """Adds an error for each feature or label that a second data set lacks or has in another form."""
    for feature in features:
        _check_feature(info, feature, at + "/dataset", errors)
    for label in labels:
        for name in label.columns:
            _check_label(info, label, name, at + "/label", errors)


def _check_feature(info: DatasetInfo, feature: Feature, at: str, errors: FieldErrors) -> None:
    column, name = info.column(feature.name), quote_name(feature.name)
    if column is None:
        if feature.missing.policy in ("drop", "error"):
            errors.add(at, f"The data set lacks the feature {name}.")
    elif is_number(column) != (feature.dtype != "string") or is_sequence(column) != feature.sequence:
        errors.add(at, f"Column {name} has another kind of values than in training.")
    elif column.get("nulls") and feature.missing.policy == "error":
        errors.add(at, f"Column {name} has nulls; training had no policy for them.")


def _check_label(info: DatasetInfo, label: LabelSpec, name: str, at: str, errors: FieldErrors) -> None:
    column = info.column(name)
    if column is None:
        errors.add(at, f"The data set has no column {quote_name(name)} for the label.")
    elif column.get("nulls") and not is_sequence(column):
        errors.add(at, f"Label column {quote_name(name)} has {column['nulls']} nulls.")
    elif label.vocabulary is not None:
        unknown = set(column.get("vocabulary") or ()) - set(label.vocabulary)
        if unknown:
            errors.add(at, f"Label column {quote_name(name)} has {len(unknown)} values that training did not have.")
