"""Prometheus metrics of jobs, read from the registry at each scrape."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from app.errors import Unavailable
from app.jobs.state import JobState
from app.registry.db import Database
from app.registry.jobs.repository import JobRepository


class JobCollector:
    """Job states, queue depths, and the steps/s of what trains now. No series while the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[Metric]:
        states = GaugeMetricFamily("jobs", "Jobs by state", labels=["state"])
        depths = GaugeMetricFamily("queue_depth", "Jobs that wait for a worker", labels=["queue"])
        speed = GaugeMetricFamily("training_steps_per_second", "Of all running jobs together", labels=["queue"])
        try:
            with self._database.read() as session:
                jobs = JobRepository(session)
                counts, queued, running = jobs.count_by_state(), jobs.count_by_queue(), jobs.running_progress()
        except Unavailable:
            return
        for state in JobState:
            states.add_metric([state], counts.get(state, 0))
        for queue, count in queued.items():
            depths.add_metric([queue], count)
        totals: dict[str, float] = {}
        for queue, progress in running:
            totals[queue] = totals.get(queue, 0.0) + float(progress.get("steps_per_s") or 0.0)
        for queue, total in totals.items():
            speed.add_metric([queue], total)
        yield from (states, depths, speed)
