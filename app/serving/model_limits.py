"""Limits of predictions: those of the service, and what a model has in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

DEFAULT_PRIORITY = 5
TENSORFLOW, ONNX = "tensorflow", "onnx"


@dataclass(frozen=True)
class BatchLimits:
    """Limits on batches, on the queue before them, and on times.

    Attributes:
        batch_rows: rows of one batch; a single request may have more and runs alone then.
        batch_cells: rows times longest sequence, where there are sequences: they are padded to the longest.
        request_memory, batch_memory: bytes that the padded sequences of one request, or of one batch, may take in the
            predictor, by the version's own measure (`VersionQueue.cell_bytes`).
        batch_bytes, queue_bytes: of request bodies, in one batch and waiting in all.
        queue_rows: rows waiting in all.
        timeout_s: of a request, from its arrival; and of one call, after which the predictor counts as hung.
        quiet_s: a predictor that has work and computes nothing for so long counts as hung too.
        in_flight: calls at the same time, of different versions.
    """

    batch_rows: int = 1024
    batch_cells: int = 2**22
    request_memory: int = 2**30
    batch_memory: int = 2**28
    batch_bytes: int = 16 * 2**20
    queue_rows: int = 65_536
    queue_bytes: int = 256 * 2**20
    timeout_s: float = 10.0
    quiet_s: float = 1.0
    in_flight: int = 2


@dataclass(frozen=True)
class ModelSettings:
    """What holds for the versions of one model; None: what the service has for all.

    Attributes:
        batch_rows: rows of one batch, and of one TensorFlow call: a request with more is computed in parts.
        queue_rows: rows of a version that may wait in a lane.
        timeout_s: of a request, from its arrival. One above the service's is also what one call may take.
        memory_bytes: that a new version may take; a larger one is not loaded.
        priority: 0 to 9; lower ones have their turn first, and stay in memory longer where that is short.
        lanes: of each host that have its versions in memory, where there are more; the others answer by them.
        engine: "tensorflow", or "onnx": that where its answers are TensorFlow's (`app.serving.engines`).
    """

    batch_rows: int | None = None
    queue_rows: int | None = None
    timeout_s: float | None = None
    memory_bytes: int | None = None
    priority: int = DEFAULT_PRIORITY
    lanes: int | None = None
    engine: str = TENSORFLOW

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> ModelSettings:
        """As the registry has them, without those that only newer code knows: hosts are upgraded one by one."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in (stored or {}).items() if name in known})


AS_THE_SERVICE = ModelSettings()
