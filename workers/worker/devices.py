"""The devices that a slot's trainer may see. A GPU belongs to one slot at a time: TensorFlow takes all of a GPU's
memory, and a second process on it would only run out of it.

Each worker holds a lock on the file of each index that it took. Its trainer inherits the locks: should the worker be
killed, its successor gets the GPUs when the trainer is gone as well, not before.
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
    else `slot_devices` of the indexes that are named, the first that nobody else holds.

    Attributes:
        gpus: the indexes that were taken, as CUDA writes them; none before, and where none is assigned.
    """

    def __init__(self, settings: Settings) -> None:
        self._wanted = settings.gpu_names
        self._assigned = bool(settings.gpus)
        # GPUs are numbered by host, and the data directory may be shared by several.
        self._directory = settings.data_dir / "gpus" / socket.gethostname()
        self._number = settings.slot_devices
        self._locks: list[IO[bytes]] = []
        self.gpus: list[str] = []

    def take(self) -> bool:
        """Takes the slot's GPUs, where some are wanted and none is held yet: all of them or none. False: others hold
        too many now."""
        if not self._wanted or self._locks:
            return True
        self._directory.mkdir(parents=True, exist_ok=True)
        for name in self._wanted:
            if len(self._locks) == self._number:
                break
            file = (self._directory / f"{name}.lock").open("wb")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            self._locks.append(file)
            self.gpus.append(name)
        if len(self._locks) == self._number:
            return True
        self.close()
        return False

    @property
    def names(self) -> tuple[str, ...]:
        """For people: `gpu:N` for each GPU, `cpu`, or `any` where none is assigned; none while others hold the GPUs."""
        if not self._assigned:
            return ("any",) * self._number
        if not self._wanted:
            return ("cpu",) * self._number
        return tuple(f"gpu:{name}" for name in self.gpus)

    def environment(self, others: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The trainer's environment: `others`, and which GPUs it may see."""
        if not self._assigned:
            return dict(others)
        return dict(others) | {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}

    def descriptors(self) -> tuple[int, ...]:
        """Open files that the trainer inherits."""
        return tuple(lock.fileno() for lock in self._locks)

    def close(self) -> None:
        """Gives the GPUs back, once the trainer is gone as well."""
        for lock in self._locks:
            lock.close()
        self._locks, self.gpus = [], []
