"""One version as this process serves it. Plain values: nothing here waits, loads or talks to a process."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum

from app.serving.asked import Answered
from app.serving.description import Description
from app.serving.export_description import BadExport, ExportDescription
from app.serving.kept_buffer import KeptBuffer
from app.serving.metrics import VersionMetrics
from app.serving.response_head import ResponseHead
from app.serving.split import Arm
from app.serving.version_queue import VersionQueue
from app.serving.wanted_version import WantedVersion

DEFAULT_LABEL = "latest"
RETRY_S = 30.0
PUT_OFF_S = 2.0


class State(StrEnum):
    """The names that TensorFlow Serving's model status uses."""

    START = "START"
    LOADING = "LOADING"
    AVAILABLE = "AVAILABLE"
    UNLOADING = "UNLOADING"
    END = "END"


class ServingVersion:
    """One version here.

    Attributes:
        queue: its requests; None until its description was read.
        loaded: a predictor answers for it; held: it is ours, and not another lane's.
        due: to be loaded without waiting for a request.
        bytes: memory that it is counted with.
        error: why it cannot be loaded, for a person.
        retry_at: when a failed load may be tried again (monotonic seconds).
        on_its_way: its files are being fetched.
        fetched_at: when they were (monotonic seconds).
        validated: it was loaded before, or, if staged, in a process that serves no requests, and nothing broke.
        arms: label → what is counted of it there, for labels that divide their requests.
        onnx: directory of the conversions that the predictor uses for it; empty: TensorFlow computes all.
        by_onnx: signatures that they are of; `onnx_bytes`: memory that they are counted with.
        why_tensorflow: signature → why it is not of them, though the model asks for that.
    """

    def __init__(self, wanted: WantedVersion, key: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.wanted = wanted
        self.key = key
        self.metrics = VersionMetrics()
        self.export: ExportDescription | None = None
        self.queue: VersionQueue | None = None
        self.state = State.START
        self.due = False
        self.bytes = 0
        self.error: str | None = None
        self.retry_at = 0.0
        self.on_its_way = False
        self.fetched_at = 0.0
        self.crashes = 0
        self.validated = False
        self.asked_at = 0.0
        self.head = ResponseHead(wanted.model, wanted.number, wanted.lineage_id)
        self.arms: dict[str, Arm] = {}
        self.kept = KeptBuffer()
        self.onnx = ""
        self.by_onnx: frozenset[str] = frozenset()
        self.onnx_bytes = 0
        self.why_tensorflow: dict[str, str] = {}

    @property
    def number(self) -> int:
        return self.wanted.number

    @property
    def loaded(self) -> bool:
        return self.queue is not None and self.queue.key is not None

    @property
    def held(self) -> bool:
        return self.queue is not None and self.queue.key is not None and self.queue.away is None

    @property
    def idle(self) -> bool:
        return self.queue is None or self.queue.idle

    def record(self, counters: VersionMetrics | Arm, prediction_id: bytes, answered: Answered) -> None:
        """Takes a request that was answered well: for a shadow, and to be kept, if this is asked for and its turn."""
        if counters.mirror is not None:
            counters.mirror.take(answered)
        keep = self.wanted.keep
        if keep is not None:
            self.kept.offer(keep, prediction_id, self.wanted.model, self.wanted.number, answered)

    def counters(self, number: int | None, label: str | None) -> VersionMetrics | Arm:
        """Where a request is counted that came by a number or a label: `answered`, `warned`, `failed`."""
        if not self.arms or number is not None:
            return self.metrics
        return self.arms.get(label or DEFAULT_LABEL, self.metrics)

    def describe(self, description: Description) -> None:
        """Takes what was read of it; requests can be checked and queued from now on."""
        if self.queue is None:
            self.export = description.export
            self.queue = VersionQueue(description.decoder, self.metrics, self.wanted.settings)
            self.bytes = description.bytes

    def set_cell_bytes(self, size: int) -> None:
        """What the predictor found: memory of one step of a padded sequence."""
        if self.queue is not None:
            self.queue.cell_bytes = size

    def stays_tensorflow(self, reason: str) -> None:
        """All of it, though its model asks for ONNX Runtime."""
        self.why_tensorflow = dict.fromkeys(self.export.signatures if self.export is not None else (), reason)

    def check_fits(self, memory_bytes: int) -> None:
        """Raises BadExport when it needs more than there is for all models, or, a new one, than its model may take."""
        if self.bytes > memory_bytes:
            raise BadExport(f"It needs {self.bytes} bytes of memory; {memory_bytes} is for all models together.")
        most = self.wanted.settings.memory_bytes
        if self.wanted.staged and most is not None and self.bytes > most:
            raise BadExport(f"It needs {self.bytes} bytes of memory; the model's setting memory_bytes is {most}.")

    def forget(self) -> None:
        """Drops what was read of it and counted, as if no request had asked for it yet. Only while it is idle."""
        self.export = self.queue = None
        self.metrics = VersionMetrics()
        self.bytes = 0

    def put_off(self) -> None:
        """It could not be loaded for a reason that passes."""
        self.retry_at = self._clock() + PUT_OFF_S

    def failed(self, error: str) -> None:
        self.error = error
        self.state = State.END
        self.due = False
        self.retry_at = self._clock() + RETRY_S
