"""Places waiting jobs on Ray until it is asked to stop. Jobs that run there go on without it."""

from __future__ import annotations

import importlib.util
import signal
import threading

import structlog

from app.config import NO_RAY, Settings
from app.log import configure
from app.process import pulse
from app.registry.db import Database, make_engine
from workers.on_ray.placer import Placer, run

log = structlog.get_logger("on_ray")


def main() -> None:
    settings = Settings()
    configure(settings.log_level)
    if settings.executor != "ray":
        raise SystemExit("This part runs jobs on Ray: set EXECUTOR=ray and RAY_ADDRESS.")
    if importlib.util.find_spec("ray") is None:
        raise SystemExit(NO_RAY)
    from workers.on_ray.ray_cluster import RayCluster

    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    database = Database(make_engine(settings))
    log.info("started", address=settings.ray_address)
    placer = Placer(settings, database, RayCluster(settings))
    run(placer, stopped, pulse)
    placer.leave()
    database.close()


if __name__ == "__main__":
    main()
