"""The doorbell: a message says that a job waits. SQL is the truth; a lost or doubled message changes nothing."""

from __future__ import annotations

from typing import Protocol

TASK_NAME = "workers.tasks.run_attempt"


class Queue(Protocol):
    def send(self, job_id: str, attempt: int, *, queue: str, priority: int) -> None:
        """Ring for a job. `attempt` is the job's attempt counter at the time of sending: a worker that finds another
        one drops the message. Raises `app.errors.Unavailable` when the broker does not answer within two seconds."""

    def ping(self) -> bool:
        """Whether the broker answers now."""


class MemoryQueue:
    """For tests: remembers what was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []
        self.up = True

    def send(self, job_id: str, attempt: int, *, queue: str, priority: int) -> None:
        from app.errors import Unavailable

        if not self.up:
            raise Unavailable("The broker does not answer.")
        self.sent.append((job_id, attempt))

    def ping(self) -> bool:
        return self.up
