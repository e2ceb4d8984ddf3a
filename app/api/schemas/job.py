"""Jobs and their records: attempts, checkpoints, evaluations, exports, metric series."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ConfigDict, Field

from app.api.schemas.view import Json, Request, Time, View
from app.jobs.fields import DisplayName, Tags
from app.jobs.state import JobState, shown_state
from app.promotion import Outcome
from app.registry import tables


class AttemptView(View):
    number: int = Field(description="1 for the first attempt.")
    state: str = Field(description="RUNNING SUCCEEDED FAILED CANCELLED LOST DRAINED")
    worker: str = Field(description="Host name and process id.")
    reason: str | None = Field(description="Why the attempt ended, if it did not succeed.")
    exit_signal: int | None = Field(description="Number of the signal that ended the trainer process.")
    peak_memory_bytes: int | None = Field(description="Largest resident memory of the trainer process.")
    resumed_from_step: int | None = Field(description="Global step of the checkpoint that it resumed from.")
    first_step: int | None = Field(description="First global step that it reported.")
    last_step: int | None = Field(description="Last global step that it reported.")
    started_at: Time
    ended_at: Time | None

    @classmethod
    def of(cls, row: tables.Attempt) -> AttemptView:
        return cls.copy_of(row)


class SeatView(View):
    number: int = Field(description="0: the chief, whose worker is the attempt's.")
    worker: str = Field(description="Host name and process id.")


class JobError(View):
    kind: str = Field(description="invalid_data invalid_spec nan_loss out_of_memory timeout lost disk_full internal")
    detail: str


class JobView(View):
    id: str = Field(examples=["job_01k9zv0q2m8x4t6b3c5d7e9f1g"])
    type: str = Field(description="train evaluate export predict")
    state: str = Field(description="QUEUED RUNNING CANCELLING SUCCEEDED FAILED CANCELLED")
    display_name: str | None = Field(description="Display name of the job.")
    tags: list[str]
    model: str | None
    estimator: str | None = Field(description="Name of the estimator that is or was trained.")
    queue: str
    priority: int
    attempt: int = Field(description="Number of the latest attempt; 0 before the first.")
    max_attempts: int
    counted_attempts: int = Field(description="Attempts that count against max_attempts.")
    timeout_s: float | None
    progress: Json = Field(
        description="step, started_from_step, max_steps, loss, steps_per_s (now), mean_steps_per_s, eta_s, "
        "memory_bytes, cpu_cores, devices, gpu_memory_bytes: "
        "as far as they are known."
    )
    result: Json = Field(description="Ids of the job's evaluation, export and version; metrics; names of files.")
    timings: dict[str, float] = Field(description="Seconds from the submit to each stage of the job.")
    error: JobError | None = Field(description="The last failure, also while the job waits to try again.")
    attempts: list[AttemptView]
    workers: int = Field(description="How many workers run it together.")
    seats: list[SeatView] = Field(
        default=[],
        description="The workers that run it together now, or wait for each other. Empty in lists, and for one worker.",
    )
    warnings: list[str] = Field(description="Remarks for the submitter; a dry run returns the same.")
    spec: Json | None = Field(
        default=None, description="The complete specification, with defaults and chosen columns. Absent from lists."
    )
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    created_by: str | None = Field(description="Id of the token.")

    @classmethod
    def of(
        cls,
        row: tables.Job,
        attempts: list[tables.Attempt],
        *,
        seats: Iterable[tables.Seat] = (),
        spec: bool = True,
        outcome: Outcome | None = None,
    ) -> JobView:
        """The view of a job with its attempts.

        Args:
            seats: that are held of it.
            outcome: of the version that the job made, if it made one.
        """
        held = outcome is not None and outcome.held
        return cls.copy_of(
            row,
            state=JobState.RUNNING if held else shown_state(JobState(row.state), row.cancel_requested),
            result=row.result if outcome is None else {**row.result, "version_state": outcome.state},
            timings=row.result.get("timings") or row.progress.get("timings") or {},
            error=JobError(kind=row.error_kind, detail=row.error_detail or "") if row.error_kind else None,
            attempts=[AttemptView.of(attempt) for attempt in attempts],
            workers=row.seats,
            seats=[SeatView(number=seat.number, worker=seat.worker) for seat in seats],
            warnings=row.warnings or [],
            spec=row.spec if spec else None,
        )


class JobUpdate(Request):
    """Fields to change; those that are left out stay."""

    display_name: DisplayName | None = Field(default=None, description="Display name of the job; null removes it.")
    tags: Tags = Field(default=(), description="All tags from now on, at most 20.")

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"display_name": "baseline", "tags": ["spring"]}]}
    )


class JobList(View):
    jobs: list[JobView]
    total: int | None = Field(description="Number of jobs that match the filters; null on pages after the first.")
    next_page_token: str | None


class DryRun(View):
    """Summary of the job; nothing is stored."""

    type: str
    model: str | None
    columns: Json
    features: list[Any]
    labels: list[Any]
    parameters: int | None
    memory_bytes: int | None
    warnings: list[str]


class CheckpointView(View):
    id: str
    job: str
    attempt: int
    step: int
    bytes: int
    created_at: Time

    @classmethod
    def of(cls, row: tables.Checkpoint) -> CheckpointView:
        return cls.copy_of(row, job=row.job_id)


class CheckpointList(View):
    checkpoints: list[CheckpointView]


class EvaluationView(View):
    id: str
    job: str = Field(description="The job that evaluated.")
    train_job: str | None = Field(description="The job whose checkpoint was evaluated.")
    step: int
    name: str
    dataset: str | None
    dataset_digest: str | None
    split: str = Field(description="all train holdout")
    rows: int | None
    metrics: Json
    has_report: bool = Field(description="Whether `GET /v1/evaluations/{id}/report` has one.")
    created_at: Time

    @classmethod
    def of(cls, row: tables.Evaluation) -> EvaluationView:
        return cls.copy_of(row, job=row.job_id, train_job=row.train_job_id, dataset=row.dataset_id)


class EvaluationList(View):
    evaluations: list[EvaluationView]


class ExportView(View):
    id: str
    job: str
    train_job: str
    attempt: int
    step: int
    digest: str
    bytes: int
    created_at: Time

    @classmethod
    def of(cls, row: tables.Export) -> ExportView:
        return cls.copy_of(row, job=row.job_id, train_job=row.train_job_id)


class ExportList(View):
    exports: list[ExportView]


class Point(View):
    step: int
    value: float | None = Field(description="null: not a finite number.")


class MetricSeries(View):
    names: list[str] = Field(description="All series that the job has.")
    series: dict[str, list[Point]]
