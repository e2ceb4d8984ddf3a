"""Workers."""

from __future__ import annotations

from pydantic import Field

from app.api.schemas.view import Time, View, must_time
from app.registry.workers import ListedWorker


class WorkerView(View):
    name: str = Field(description="Host and process number of its main process; attempts name it.")
    alive: bool = Field(description="Whether it has reported within the last 15 s. Dead ones are listed for an hour.")
    queues: list[str]
    slots: int = Field(description="Jobs that it can run at once.")
    devices: list[str] = Field(
        description="`gpu:N`, `cpu`, or `any` where none is assigned; empty while it waits for a GPU.",
        examples=[["gpu:0"]],
    )
    jobs: list[str] = Field(description="Ids of the jobs that it runs now.")
    version: str = Field(description="The release that it runs.")
    started_at: Time
    seen_at: Time

    @classmethod
    def of(cls, worker: ListedWorker) -> WorkerView:
        return cls(
            name=worker.report.name,
            alive=worker.alive,
            queues=list(worker.report.queues),
            slots=worker.report.slots,
            devices=list(worker.report.devices),
            jobs=list(worker.job_ids),
            version=worker.report.version,
            started_at=must_time(worker.started_at),
            seen_at=must_time(worker.seen_at),
        )


class WorkerList(View):
    workers: list[WorkerView]
