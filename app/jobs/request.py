"""Bodies of `POST /v1/jobs`. `app/jobs/parse.py` checks what types cannot: names against the data, and what the fields
mean together."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from app.jobs.fields import (
    MAX_STEPS,
    BatchSize,
    CheckpointId,
    ColumnName,
    DatasetName,
    DisplayName,
    EstimatorName,
    JobId,
    LabelColumns,
    MetricName,
    MissingPolicy,
    Mode,
    Name,
    Part,
    Steps,
    Tags,
)

ColumnNames = Annotated[tuple[ColumnName, ...], Field(strict=False, max_length=10_000)]


def _options_last(schema: dict[str, Any]) -> None:
    """Moves the fields that all types of jobs share to the end of the documented ones."""
    for name in JobOptions.model_fields:
        schema["properties"][name] = schema["properties"].pop(name)


class JobOptions(Part):
    """Fields that every type of job has."""

    model_config = ConfigDict(json_schema_extra=_options_last)

    display_name: DisplayName | None = Field(None, description="Display name of the job; need not be unique.")
    tags: Tags = Field((), description="Words by which jobs are found and kept together, at most 20.")
    queue: Name = Field("default", description="Queue of the workers that may run the job.")
    priority: int = Field(5, ge=0, le=9, description="Jobs of higher priority start first; 9 is the highest.")
    timeout_s: float | None = Field(
        None, gt=0, le=10**8, description="Seconds that one attempt may run; null: the operator's limit."
    )
    wait_timeout_s: float | None = Field(
        None, gt=0, le=10**8, description="Seconds that the job may wait for a worker before it fails; null: no limit."
    )
    max_attempts: int | None = Field(
        None, ge=1, le=100, description="Attempts before a failing job is given up; null: the operator's limit."
    )
    # Less than the least is what a trainer needs before it has read any data.
    memory_limit_bytes: int | None = Field(
        None, ge=2**29, le=2**50, description="Memory that the trainer process may hold; null: the operator's limit."
    )


class SourceOptions(Part):
    """A trained state, named in one of three ways."""

    model: Name | None = Field(
        None, description="A registered model; without `version` the one labelled `latest`, else its newest."
    )
    version: int | None = Field(None, ge=1, le=2**31 - 1, description="Number of a version of `model`.")
    checkpoint: CheckpointId | None = Field(None, description="Id of a checkpoint, instead of `model` or `job`.")
    job: JobId | None = Field(None, description="Id of a training job; without `step` its newest checkpoint.")
    step: int | None = Field(None, ge=0, le=MAX_STEPS, description="Global step of a checkpoint of `job`.")


class EstimatorRequest(Part):
    type: EstimatorName = Field(description="Name of an estimator; `GET /v1/estimators` lists them.")
    args: dict[str, Any] = Field(
        {}, description="Arguments of the estimator, as JSON; `GET /v1/estimators` has their schemas."
    )


class TrainDataRequest(Part):
    dataset: DatasetName = Field(description="The data set to train on: its id, or its name (the newest of that name).")
    label: LabelColumns | None = Field(
        None,
        description="Label column; a list of columns for a vector per row; for a MultiHead an object of head name to "
        "either.",
    )
    batch_size: BatchSize = Field(32, description="Rows per training step.")
    shuffle: bool = Field(True, description="Whether rows are read in a new random order in each epoch.")
    epochs: Steps | None = Field(None, description="Passes over the training rows; null: as many as `max_steps` needs.")
    ignore: ColumnNames = Field((), description="Columns that must not become features.")
    weight: ColumnName | None = Field(None, description="Column of numbers that weigh each row's loss.")
    missing: dict[str, MissingPolicy] = Field(
        {},
        max_length=10_000,
        description="Column to what replaces its nulls: `mean`, `zero`, `category`, `empty`, "
        '`{"constant": value}`; `drop` leaves such rows out, `error` refuses them.',
    )


class EvalDataRequest(Part):
    dataset: DatasetName = Field(description="The data set to evaluate on: its id, or its name.")
    label: LabelColumns | None = Field(
        None, description="Label columns of this data set, where they are named otherwise than in training."
    )
    batch_size: BatchSize = Field(256, description="Rows per batch.")
    part: Literal["all", "train", "holdout"] = Field(
        "all", description="All rows, or one side of the split that the model was trained with."
    )


class PredictDataRequest(Part):
    dataset: DatasetName = Field(description="The data set to predict: its id, or its name.")
    batch_size: BatchSize = Field(1024, description="Rows per batch.")


class TrainDataParts(Part):
    train: TrainDataRequest = Field(description="Training data.")
    eval: EvalDataRequest | None = Field(None, description="Evaluation data of its own; not together with `holdout`.")
    holdout: float | None = Field(
        None, gt=0, le=0.9, description="Share of the training rows that is kept for evaluation."
    )


class EvaluateDataParts(Part):
    eval: EvalDataRequest = Field(description="Evaluation data.")


class PredictDataParts(Part):
    predict: PredictDataRequest = Field(description="Rows to predict.")


class EarlyStopping(Part):
    metric: MetricName = Field("loss", description="Metric of the evaluations that is watched.")
    patience_steps: Steps = Field(description="Steps without an improvement of the metric before training stops.")
    mode: Mode | None = Field(
        None, description="Whether less (`min`) or more (`max`) is better; null: by the metric's name."
    )
    min_steps: int = Field(0, ge=0, le=MAX_STEPS, description="Steps before which training never stops early.")


class TrainingOptions(Part):
    max_steps: Steps | None = Field(
        None, description="Global step at which training ends; null needs `epochs` in `data.train`."
    )
    save_checkpoints_steps: Steps | None = Field(
        None, description="Steps between checkpoints; null: a tenth of the job, 100 to 10,000."
    )
    keep_checkpoint_max: int = Field(5, ge=1, le=1000, description="Newest checkpoints that are kept.")
    keep_checkpoint_every_n_hours: float | None = Field(
        None, gt=0, le=10**5, description="Additionally keep one checkpoint per this many hours."
    )
    seed: int = Field(1, ge=0, le=2**31 - 1, description="Random seed of initial values, shuffling and dropout.")
    evaluate_every_steps: Steps | None = Field(
        None, description="Steps between evaluations during training; null: only at the end."
    )
    early_stopping: EarlyStopping | None = Field(
        None, description="Stops training when a metric no longer improves; needs evaluation data."
    )


class BestMetricRequest(Part):
    metric: MetricName = Field(description="Metric by which the best checkpoint is chosen and kept.")
    mode: Mode | None = Field(
        None, description="Whether less (`min`) or more (`max`) is better; null: by the metric's name."
    )


class GateRequest(Part):
    metric: MetricName = Field(description="Metric of the exported checkpoint's evaluation.")
    at_least: float | None = Field(None, description="Smallest value with which the version is promoted.")
    at_most: float | None = Field(None, description="Largest value with which the version is promoted.")


class PromoteRequest(Part):
    label: Name = Field("latest", description="Label that is moved to the new version.")
    when: GateRequest | None = Field(
        None, description="Promotion gate: a version that misses it is recorded as refused."
    )


_PROMOTE_TEXT = "What becomes of the exported version; null: it is stored and does not serve."


class ResourcesRequest(Part):
    devices: int = Field(
        1,
        ge=1,
        le=64,
        description="Devices (GPUs; parts of the CPU where there is none) of each worker; data-parallel.",
    )
    workers: int = Field(
        1, ge=1, le=64, description="Workers that train the job together, data-parallel; they start when all are free."
    )


class TrainJobRequest(JobOptions):
    """Train an estimator on a data set, and register the result as a version of a model."""

    type: Literal["train"] = Field(description="Train a new state.")
    model: Name = Field(description="Name of the model whose next version the job makes.")
    estimator: EstimatorRequest = Field(description="The estimator and its arguments.")
    columns: Literal["auto"] | None = Field(
        None, description="`auto`: feature columns are chosen from the data set's types and statistics."
    )
    data: TrainDataParts = Field(description="Training and evaluation data.")
    train: TrainingOptions = Field(TrainingOptions(), description="Length, checkpoints and evaluations.")
    resources: ResourcesRequest = Field(
        ResourcesRequest(),
        description="What the training runs on. `batch_size` stays the rows of one step over all devices.",
    )
    warm_start_from: SourceOptions | None = Field(
        None, description="A trained state whose weights training starts from."
    )
    export: Literal["final", "best", "none"] = Field(
        "final", description="Checkpoint that is exported: the last one, the best one by `best_metric`, or none."
    )
    best_metric: BestMetricRequest | None = Field(
        None, description="What makes a checkpoint the best one; null: the smallest loss."
    )
    promote: PromoteRequest | None = Field(PromoteRequest(), description=_PROMOTE_TEXT)


class EvaluateJobRequest(SourceOptions, JobOptions):
    """Evaluate a trained state on a data set."""

    type: Literal["evaluate"] = Field(description="Evaluate a trained state.")
    data: EvaluateDataParts = Field(description="Evaluation data.")
    steps: Steps | None = Field(None, description="Batches to evaluate; null: all rows.")
    name: Name = Field("eval", description="Name of the evaluation.")


class ExportJobRequest(SourceOptions, JobOptions):
    """Export a trained state as a version of its model."""

    type: Literal["export"] = Field(description="Export a trained state.")
    promote: PromoteRequest | None = Field(PromoteRequest(), description=_PROMOTE_TEXT)


class PredictJobRequest(SourceOptions, JobOptions):
    """Predict every row of a data set with a trained state; the job's result names the files."""

    type: Literal["predict"] = Field(description="Predict a data set in batches.")
    data: PredictDataParts = Field(description="Rows to predict.")


JobRequest = TrainJobRequest | EvaluateJobRequest | ExportJobRequest | PredictJobRequest
REQUESTS: dict[str, type[JobRequest]] = {
    "train": TrainJobRequest,
    "evaluate": EvaluateJobRequest,
    "export": ExportJobRequest,
    "predict": PredictJobRequest,
}
