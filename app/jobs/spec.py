"""Job specifications, which the registry stores and workers run. They are complete: defaults are filled in, `"auto"` is
resolved, every data set has its digest.

`decode` and `encode` are the only ways from and to the stored JSON. A field that a later release adds has a default
here, so that specifications stored before still decode; `tests/jobs/stored_specs` holds such ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, TypeAdapter, ValidationError, model_serializer

from app.errors import InvalidInput
from app.jobs.fields import LabelColumns, MissingPolicy, Mode, Part

JsonObject = dict[str, Any]
Arguments = dict[str, Any]
"""An estimator's arguments as JSON. Their schema is `app/jobs/estimators.json`, made from the engine's signatures."""

Names = Annotated[tuple[str, ...], Field(strict=False)]
DType = Literal["float32", "int64", "string"]


class Missing(Part):
    """The replacement for nulls of a feature.

    Attributes:
        value: the replacement; None for `drop` and `error`, and for a `mean` that is left to the training rows.
    """

    policy: Literal["mean", "constant", "category", "empty", "drop", "error"]
    value: int | float | str | Names | None = None


class Feature(Part):
    """One data column that the model reads.

    Attributes:
        shape: of one row's value, or of one item of a sequence.
        vocabulary: the data set's values, most frequent first; None for numbers and for too many values.
        min, max: of the data set's values.
    """

    name: str
    dtype: DType
    shape: Annotated[tuple[int, ...], Field(strict=False)]
    sequence: bool
    missing: Missing
    vocabulary: Names | None
    min: int | float | None
    max: int | float | None


class LabelSpec(Part):
    """The label of one head.

    Attributes:
        head: the head's name; None where there is one head only.
        columns: label columns, side by side.
        vocabulary: the classes' names in their order; None for numbered classes and for numbers.
    """

    head: str | None
    columns: Names
    kind: Literal["class", "multilabel", "number", "any"]
    vocabulary: Names | None


class EstimatorChoice(Part):
    type: str
    args: Arguments


class TrainData(Part):
    """The training rows. `label` and `missing` are those of the request; `TrainSpec.labels` and `features` were derived
    from them."""

    dataset: str
    label: LabelColumns | None
    batch_size: int
    shuffle: bool
    epochs: int | None
    ignore: Names
    weight: str | None
    missing: dict[str, MissingPolicy]
    digest: str
    part: Literal["all", "train"]


class EvalData(Part):
    """Rows to evaluate on; `labels` may name other columns than those of the training data."""

    dataset: str
    label: LabelColumns | None
    batch_size: int
    part: Literal["all", "train", "holdout"]
    digest: str
    labels: Annotated[tuple[LabelSpec, ...], Field(strict=False)]


class EvaluateData(EvalData):
    """Evaluation data of an evaluate job, with the share of its model's holdout."""

    holdout: float | None


class PredictData(Part):
    dataset: str
    batch_size: int
    digest: str
    labels: Annotated[tuple[LabelSpec, ...], Field(strict=False)] = ()
    holdout: float | None = None


class TrainDataSets(Part):
    train: TrainData
    eval: EvalData | None
    holdout: float | None


class EvaluateDataSets(Part):
    eval: EvaluateData


class PredictDataSets(Part):
    predict: PredictData


class EarlyStoppingSpec(Part):
    metric: str
    patience_steps: int
    mode: Mode
    min_steps: int


class Training(Part):
    max_steps: int | None
    save_checkpoints_steps: int
    keep_checkpoint_max: int
    keep_checkpoint_every_n_hours: float | None = None
    seed: int
    evaluate_every_steps: int | None
    early_stopping: EarlyStoppingSpec | None


class Resources(Part):
    """What a training runs on: `devices` of each of `workers` workers. The batch size is that of one step over all."""

    devices: int = 1
    workers: int = 1

    @property
    def replicas(self) -> int:
        return self.devices * self.workers


class BestMetric(Part):
    metric: str
    mode: Mode


class PromotionGate(Part):
    """Bounds of a metric; absent bounds are not stored."""

    metric: str
    at_least: float | None = None
    at_most: float | None = None

    @model_serializer(mode="wrap")
    def _without_absent_bounds(self, write: SerializerFunctionWrapHandler) -> JsonObject:
        return {name: value for name, value in write(self).items() if value is not None}


class Promote(Part):
    label: str
    when: PromotionGate | None


class SourceReference(Part):
    """A trained state: the checkpoint of a training job; `model` and `version` where the request named these."""

    job: str
    step: int
    checkpoint: str
    model: str | None
    version: int | None


class _Spec(Part):
    type: str
    model: str
    memory_limit_bytes: int | None = None


class TrainSpec(_Spec):
    type: Literal["train"] = "train"
    estimator: EstimatorChoice
    columns: Literal["auto"] | None
    features: Annotated[tuple[Feature, ...], Field(strict=False)]
    labels: Annotated[tuple[LabelSpec, ...], Field(strict=False)]
    weight: str | None
    data: TrainDataSets
    train: Training
    warm_start_from: SourceReference | None
    export: Literal["final", "best", "none"]
    best_metric: BestMetric
    promote: Promote | None
    resources: Resources = Resources()

    @model_serializer(mode="wrap")
    def _without_default_resources(self, write: SerializerFunctionWrapHandler) -> JsonObject:
        content: JsonObject = write(self)
        if self.resources == Resources():
            content.pop("resources", None)
        return content

    def with_statistics(self, features: Sequence[Feature], args: Arguments) -> Self:
        """A copy whose features and arguments have the statistics of the training rows."""
        return self.model_copy(
            update={
                "features": tuple(features),
                "estimator": self.estimator.model_copy(update={"args": args}),
            }
        )


class EvaluateSpec(_Spec):
    type: Literal["evaluate"] = "evaluate"
    source: SourceReference
    train_spec: TrainSpec
    data: EvaluateDataSets
    steps: int | None
    name: str


class ExportSpec(_Spec):
    type: Literal["export"] = "export"
    source: SourceReference
    train_spec: TrainSpec
    promote: Promote | None


class PredictSpec(_Spec):
    type: Literal["predict"] = "predict"
    source: SourceReference
    train_spec: TrainSpec
    data: PredictDataSets


JobSpec = TrainSpec | EvaluateSpec | ExportSpec | PredictSpec

_ADAPTER: TypeAdapter[JobSpec] = TypeAdapter(Annotated[JobSpec, Field(discriminator="type")])
_FEATURES: TypeAdapter[tuple[Feature, ...]] = TypeAdapter(Annotated[tuple[Feature, ...], Field(strict=False)])


def encode(spec: JobSpec) -> JsonObject:
    """The specification as JSON, as it is stored."""
    content: JsonObject = _ADAPTER.dump_python(spec, mode="json")
    return content


def decode(content: JsonObject) -> JobSpec:
    """The specification of JSON that `encode` of this release or an earlier one returned.

    Raises:
        InvalidInput: it was written by a later release, or not by this service.
    """
    try:
        return _ADAPTER.validate_python(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = "/".join(str(part) for part in first["loc"])
        raise InvalidInput(
            f"This release cannot read the job's specification ({field}: {first['type']}). Submit the job again."
        ) from None


def encode_features(features: Sequence[Feature]) -> list[JsonObject]:
    """Features as JSON, as `features.json` beside a checkpoint holds them."""
    content: list[JsonObject] = _FEATURES.dump_python(tuple(features), mode="json")
    return content


def decode_features(content: list[JsonObject]) -> tuple[Feature, ...]:
    """The features of JSON that `encode_features` returned."""
    return _FEATURES.validate_python(content)
