"""The requests of one version that wait or run, and where their answers go."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from app.errors import ServiceError
from app.serving.decode import Decoded, Decoder
from app.serving.metrics import VersionMetrics
from app.serving.model_limits import AS_THE_SERVICE, ModelSettings


class PredictionResult(NamedTuple):
    """A response body and the numbers in its headers: rows of the batch, microseconds waited, microseconds computed."""

    body: bytes
    batch_rows: int
    queue_us: int
    run_us: int


class Reply(Protocol):
    """Where an answer goes: a future of `PredictionResult`, or what looks like one."""

    def done(self) -> bool:
        """Whether the caller has stopped waiting."""

    def set_result(self, result: PredictionResult, /) -> None: ...
    def set_exception(self, error: ServiceError, /) -> None: ...


class QueueAccount(Protocol):
    """What a caller has in flight."""

    rows: int
    bytes: int


class Pending:
    """A request that waits or runs.

    Attributes:
        deadline: after which its answer is not needed (`time.perf_counter`).
    """

    __slots__ = ("account", "arrived", "charged", "deadline", "reply", "request", "size", "tried")

    def __init__(
        self,
        request: Decoded,
        size: int,
        arrived: float,
        reply: Reply,
        account: QueueAccount | None,
        charged: int,
        deadline: float,
    ) -> None:
        self.request = request
        self.size = size
        self.arrived = arrived
        self.reply = reply
        self.account = account  # None once it has back what it was charged
        self.charged = charged
        self.deadline = deadline
        self.tried = False  # was in a predictor that died: runs alone from now on


class VersionQueue:
    """The requests of one version, in their order.

    Attributes:
        settings: of its model.
        key: under which the predictor has the version; None while it is not loaded, so that requests wait.
        running: the batch that is with the predictor.
        alone: the last batch was one request, and none waited behind it: the next one need not wait for others.
        cell_bytes: memory that one step of one padded sequence takes in the predictor; 0 until it is loaded.
        rows: that wait.
        passed: how often another queue took the turn that was this one's, since its last.
    """

    def __init__(self, decoder: Decoder, metrics: VersionMetrics, settings: ModelSettings = AS_THE_SERVICE) -> None:
        self.decoder = decoder
        self.metrics = metrics
        self.settings = settings
        self.rows = self.passed = 0
        self.key: int | None = None
        self.cell_bytes = 0
        self.waiting: deque[Pending] = deque()
        self.running: Batch | None = None
        self.alone = False
        self.due = False  # stands in the batcher's list of lines whose turn comes
        self.last_used = 0.0
        self.drained: asyncio.Future[None] | None = None  # somebody waits until nothing runs

    @property
    def idle(self) -> bool:
        return not self.waiting and self.running is None


@dataclass
class Batch:
    queue: VersionQueue
    members: list[Pending]
    sent: float
    rows: int
