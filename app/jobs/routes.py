"""Broker queues of jobs: workers with too few devices for a job do not consume its queue."""

from __future__ import annotations

import re
from collections.abc import Sequence


def route(queue: str, devices: int) -> str:
    """The broker's queue for jobs of `queue` that need so many devices per worker."""
    return queue if devices == 1 else f"{queue}:{devices}-devices"


def routes(queues: Sequence[str], devices: int) -> list[str]:
    """The broker's queues of a worker that has so many devices, those of the widest jobs first."""
    return [route(queue, number) for number in range(devices, 0, -1) for queue in queues]


def queue_of(route: str) -> str:
    """The jobs' queue of a broker's queue."""
    return re.sub(r":\d+-devices$", "", route)
