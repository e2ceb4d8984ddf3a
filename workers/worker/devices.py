"""The devices that a slot's trainer may see. A GPU belongs to one slot at a time: TensorFlow takes all of a GPU's
memory, and a second process on it would only run out of it.

Each worker holds a lock on the file of the one index that it took. Its trainer inherits the lock: should the worker
be killed, its successor gets the GPU when the trainer is gone as well, not before.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Mapping
from typing import IO

from app.config import Settings


class Devices:
    """What one slot may use, as the setting `gpus` says: nothing set, whatever TensorFlow finds; "none", the CPU alone;
    else one of the indexes that are named, the first that nobody else holds.

    Attributes:
        gpu: the index that was taken, as CUDA writes it; None before, and where none is assigned.
    """

    def __init__(self, settings: Settings) -> None:
        self._wanted = settings.gpu_names
        self._assigned = bool(settings.gpus)
        # GPUs are numbered by host, and the data directory may be shared by several.
        self._directory = settings.data_dir / "gpus" / socket.gethostname()
        self._lock: IO[bytes] | None = None
        self.gpu: str | None = None

    def take(self) -> bool:
        """Takes a GPU, where one is wanted and none is held yet. False: others hold all of them now."""
        if not self._wanted or self._lock is not None:
            return True
        self._directory.mkdir(parents=True, exist_ok=True)
        for name in self._wanted:
            file = (self._directory / f"{name}.lock").open("wb")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            self._lock, self.gpu = file, name
            return True
        return False

    @property
    def names(self) -> tuple[str, ...]:
        """For people: `gpu:N`, `cpu`, or `any` where none is assigned; none while others hold all GPUs."""
        if not self._assigned:
            return ("any",)
        if not self._wanted:
            return ("cpu",)
        return () if self.gpu is None else (f"gpu:{self.gpu}",)

    def environment(self, others: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The trainer's environment: `others`, and which GPU it may see."""
        if not self._assigned:
            return dict(others)
        return dict(others) | {"CUDA_VISIBLE_DEVICES": self.gpu or "", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}

    def descriptors(self) -> tuple[int, ...]:
        """Open files that the trainer inherits."""
        return () if self._lock is None else (self._lock.fileno(),)

    def close(self) -> None:
        """Gives the GPU back, once the trainer is gone as well."""
        if self._lock is not None:
            self._lock.close()
            self._lock = self.gpu = None
