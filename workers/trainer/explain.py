"""Kind and detail of a failure of an attempt, for the job's owner."""

from __future__ import annotations

import errno
import re

import tensorflow as tf

import tf_estimator as est
from app.errors import Conflict, InvalidInput, NotFound, Unavailable
from app.jobs.state import ErrorKind


def explain(error: BaseException) -> tuple[ErrorKind, str]:
    """Kind and detail of a failure, for the job's owner: no traceback, no paths. The log has them."""
    if isinstance(error, est.NanLossDuringTrainingError):
        at = "" if error.step is None else f" at step {error.step}"
        return ErrorKind.NAN_LOSS, f"The loss became NaN or infinite{at}. Lower the learning rate or check the data."
    if isinstance(error, InvalidInput):
        return ErrorKind.INVALID_DATA, error.detail
    if isinstance(error, NotFound | Conflict):
        return ErrorKind.INVALID_SPEC, error.detail
    if (full := _disk_full(error)) is not None:
        return ErrorKind.DISK_FULL, full
    if isinstance(error, MemoryError | tf.errors.ResourceExhaustedError):
        return ErrorKind.OUT_OF_MEMORY, "Memory ran out. Use smaller batches, layers or embeddings."
    if isinstance(error, tf.errors.InvalidArgumentError):
        return ErrorKind.INVALID_DATA, f"A batch does not fit the model: {_without_paths(str(error))}"
    if isinstance(error, ValueError | KeyError | TypeError):
        return ErrorKind.INTERNAL, f"{type(error).__name__}: {_without_paths(str(error))}"
    if isinstance(error, Unavailable):
        return ErrorKind.INTERNAL, error.detail
    return ErrorKind.INTERNAL, f"{type(error).__name__}; see the job's log."


def _disk_full(error: BaseException) -> str | None:
    """The detail of an error that a full disk caused; None for other errors. TensorFlow raises the same types for other
    causes (for EFBIG even the one that ends an input), so its message decides."""
    if not isinstance(error, OSError | tf.errors.OpError):
        return None
    number, text = getattr(error, "errno", None), str(error)
    if number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text or "Disk quota exceeded" in text:
        return "The disk is full."
    if number == errno.EFBIG or "File too large" in text:
        return "A file grew larger than the system allows (ulimit -f, or the file system's limit)."
    return None


def _without_paths(text: str) -> str:
    """The first line without paths and TensorFlow's node names, cut at 300 characters."""
    first = re.sub(r"\{\{.*?\}\}\s*", "", (text.strip().splitlines() or [""])[0])
    return re.sub(r"(?<![\w/])/[^\s'\",;:)]+", "…", first)[:300]
