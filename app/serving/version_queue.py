"""The requests of one version that wait or run, and where their answers go."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from app.errors import InvalidInput, ServiceError, Timeout, TooLarge, Unavailable
from app.serving.decode import Decoded, Decoder
from app.serving.metrics import VersionMetrics
from app.serving.model_limits import AS_THE_SERVICE, ModelSettings
from app.serving.protocol import NO_INSTANCE, BatchResult, Form, RunBatch

RETRY_AFTER_S = 1.0


class BatchRunner(Protocol):
    """Where batches run: a predictor, or another lane."""

    def run(self, run: RunBatch) -> None: ...
    def kill(self) -> None: ...

    def quiet_s(self, since: float) -> float:
        """For how long it has computed nothing, though it has had work since `since` (`time.perf_counter`)."""


class GuestRun(Protocol):
    """A batch of another lane, whose requests are there."""

    run: RunBatch
    arrived: float

    def answered(self, answer: BatchResult) -> None: ...

    def not_run(self, *, began: bool) -> None:
        """It will not be answered.

        Args:
            began: the predictor died while it had it.
        """


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

    def pay_back(self) -> None:
        """Its caller has in flight what it was charged no more."""
        if self.account is not None:
            self.account.rows -= self.request.count
            self.account.bytes -= self.charged
            self.account = None

    def not_computed(self, instance: int) -> InvalidInput:
        """The error when the model could not compute it.

        Args:
            instance: the number of the one at fault, or NO_INSTANCE.
        """
        what = "the model could not compute an answer: a value is outside what its graph can take."
        form = self.request.form
        if instance == NO_INSTANCE:
            return InvalidInput(what.capitalize())
        if form in (Form.COLUMN, Form.TENSORS):
            return InvalidInput.at("/inputs", f"Row {instance} of the inputs: {what}")
        key = "instances" if form == Form.ROW else "examples"
        return InvalidInput.at(f"/{key}/{instance}", f"{key[:-1].capitalize()} {instance}: {what}")


class VersionQueue:
    """The requests of one version, in their order.

    Attributes:
        settings: of its model.
        key: under which the predictor has the version; None while it is not loaded, so that requests wait.
        away: the lane whose predictor that is; None: it is ours.
        guests: batches of other lanes that wait for our predictor.
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
        self.away: BatchRunner | None = None
        self.guests: deque[GuestRun] = deque()
        self.cell_bytes = 0
        self.waiting: deque[Pending] = deque()
        self.running: Batch | None = None
        self.alone = False
        self.due = False  # stands in the batcher's list of lines whose turn comes
        self.last_used = 0.0
        self.drained: asyncio.Future[None] | None = None  # somebody waits until nothing runs

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.guests and self.running is None

    def check_memory(self, request: Decoded, most_bytes: int) -> None:
        """Raises TooLarge when its sequences, padded to the longest, would take more of the predictor's memory."""
        needed = request.count * request.longest * self.cell_bytes
        if needed > most_bytes:
            raise TooLarge(
                f"The request has {request.count} instances and a sequence of {request.longest} values; padded to the "
                f"longest that takes about {needed // 2**20} MiB, of {most_bytes // 2**20} MiB for one request. Send "
                "long sequences apart from short ones, or the request in parts."
            )

    def timeout_s(self, service_s: float) -> float:
        """Of a request, where the service has `service_s`."""
        return service_s if self.settings.timeout_s is None else self.settings.timeout_s

    def too_late(self, service_s: float) -> ServiceError:
        """The error of a request whose time is over."""
        if self.key is None:
            return Unavailable("The model is being loaded. Try again.", retry_after_s=RETRY_AFTER_S)
        return Timeout(
            f"No prediction within {self.timeout_s(service_s):g} s, or within the time that the caller gave."
        )

    @property
    def guest_is_next(self) -> bool:
        """A batch of another lane has waited the longest."""
        return not (self.waiting and self.waiting[0].arrived < self.guests[0].arrived)


@dataclass(slots=True)
class Batch:
    """What a predictor computes: requests of ours, or a guest's.

    Attributes:
        away: the lane that it was sent to.
    """

    queue: VersionQueue
    members: list[Pending]
    sent: float
    rows: int
    away: BatchRunner | None = None
    guest: GuestRun | None = None
