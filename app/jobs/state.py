"""States of jobs, attempts and versions, and the legal transitions of a job. A transition is one conditional UPDATE."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    #: waits for a worker
    QUEUED = "QUEUED"
    #: a worker holds the lease of the current attempt
    RUNNING = "RUNNING"
    #: done; its results are recorded
    SUCCEEDED = "SUCCEEDED"
    #: ended with a recorded error
    FAILED = "FAILED"
    #: ended because a user cancelled it
    CANCELLED = "CANCELLED"


CANCELLING = "CANCELLING"
"""Shown for a RUNNING job whose cancel is on its way. It is a flag in the row, not a state."""

ENDED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})

TRANSITIONS: frozenset[tuple[JobState, JobState]] = frozenset(
    {
        (JobState.QUEUED, JobState.RUNNING),  # claim
        (JobState.QUEUED, JobState.CANCELLED),  # cancel before a worker took it
        (JobState.QUEUED, JobState.FAILED),  # waited longer than its limit
        (JobState.RUNNING, JobState.SUCCEEDED),
        (JobState.RUNNING, JobState.FAILED),
        (JobState.RUNNING, JobState.CANCELLED),
        (JobState.RUNNING, JobState.QUEUED),  # attempt lost or drained
        (JobState.FAILED, JobState.QUEUED),  # retry
        (JobState.CANCELLED, JobState.QUEUED),  # retry
    }
)


class AttemptState(StrEnum):
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    #: its worker or trainer died, or it did not extend its lease in time
    LOST = "LOST"
    #: it checkpointed and gave the job back, because its worker stops
    DRAINED = "DRAINED"


class ErrorKind(StrEnum):
    INVALID_DATA = "invalid_data"
    INVALID_SPEC = "invalid_spec"
    NAN_LOSS = "nan_loss"
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    LOST = "lost"
    DISK_FULL = "disk_full"
    INTERNAL = "internal"


HOPELESS = frozenset({ErrorKind.INVALID_DATA, ErrorKind.INVALID_SPEC, ErrorKind.NAN_LOSS, ErrorKind.TIMEOUT})
"""Kinds that another attempt cannot repair: the job fails at once."""


class VersionState(StrEnum):
    #: recorded; served only when a label is set to it
    STORED = "STORED"
    #: waits to be loaded and warmed up, then gets its label
    STAGED = "STAGED"
    #: loaded and warmed up at least once
    AVAILABLE = "AVAILABLE"
    #: could not be loaded or warmed up
    FAILED = "FAILED"
    #: refused by the promotion gate
    REFUSED = "REFUSED"


def shown_state(state: JobState, cancel_requested: bool) -> str:
    """The state as the API shows it."""
    return CANCELLING if state is JobState.RUNNING and cancel_requested else state.value
