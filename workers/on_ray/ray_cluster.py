"""The one place that speaks with Ray: placement groups as places of jobs, and an actor on each bundle.

Groups and actors are detached: they outlive the process that made them, and are found again by their names.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import ray
import structlog
from ray.exceptions import RayError
from ray.util.placement_group import (
    PlacementGroup,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from app.config import Settings
from app.registry.jobs.placing import WaitingJob
from workers.on_ray.placer import Capacity, RayPlace, RayUnreachable
from workers.on_ray.ray_seat import run_seat

log = structlog.get_logger("on_ray")

_WAITS = "PENDING"
_GONE = "REMOVED"


class SeatProcess:
    """A process for one seat; it ends with it."""

    def run(self, job_id: str, attempt: int, devices: int) -> None:
        try:
            run_seat(job_id, attempt, devices, ray.util.get_node_ip_address())
        except Exception:
            log.exception("the seat failed; the job is placed again", job_id=job_id)
        finally:
            ray.actor.exit_actor()


_ACTOR: Any = ray.remote(max_restarts=0, max_task_retries=0)(SeatProcess)


class RayCluster:
    """A connection that is made when it is first used, and anew after Ray was away."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._device = settings.ray_device

    def places(self) -> list[RayPlace]:
        with self._connected():
            return [
                RayPlace(job_id, int(attempt), int(seats), given=group["state"] != _WAITS)
                for group in placement_group_table().values()
                if group["state"] != _GONE and group["name"].count("/") == 3
                for name, job_id, attempt, seats in [group["name"].split("/")]
                if name == self._settings.ray_name
            ]

    def ask(self, job: WaitingJob) -> None:
        bundles = [{self._device: float(job.devices)} for _ in range(job.seats)]
        place = RayPlace(job.id, job.attempt, job.seats)
        log.info("asks for a place", job_id=job.id, seats=job.seats, devices=job.devices)
        with self._connected():
            # together where a node has room for all, else on several
            placement_group(bundles, strategy="PACK", name=self._name(place), lifetime="detached")

    def start(self, place: RayPlace, job: WaitingJob) -> None:
        with self._connected():
            group = self._group(place)
            if group is None:
                return
            for number in range(place.seats):
                actor = _ACTOR.options(
                    name=f"{self._name(place)}/{number}",
                    lifetime="detached",
                    get_if_exists=True,
                    num_cpus=job.devices if self._device == "CPU" else 0,
                    num_gpus=job.devices if self._device == "GPU" else 0,
                    scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=number),
                ).remote()
                actor.run.remote(job.id, job.attempt, job.devices)

    def has_seats(self, place: RayPlace) -> bool:
        with self._connected():
            return any(self._lives(f"{self._name(place)}/{number}") for number in range(place.seats))

    def give_back(self, place: RayPlace) -> None:
        with self._connected():
            group = self._group(place)
            if group is not None:
                remove_placement_group(group)

    def capacity(self) -> Capacity:
        with self._connected():
            found = [int(node["Resources"].get(self._device, 0)) for node in ray.nodes() if node["Alive"]]
        usable = [number for number in found if number > 0]
        return Capacity(len(usable), max(usable, default=0))

    def _name(self, place: RayPlace) -> str:
        return f"{self._settings.ray_name}/{place.job_id}/{place.attempt}/{place.seats}"

    def _group(self, place: RayPlace) -> PlacementGroup | None:
        try:
            return get_placement_group(self._name(place))
        except ValueError:
            return None  # another placer gave it back

    def _lives(self, name: str) -> bool:
        try:
            ray.get_actor(name)
        except ValueError:
            return False
        return True

    @contextlib.contextmanager
    def _connected(self) -> Iterator[None]:
        """Raises RayUnreachable."""
        try:
            if not ray.is_initialized():
                namespace, address = self._settings.ray_name, self._settings.ray_address
                if address != "auto":  # Ray itself would wait for minutes for one that is not there
                    host, _, port = address.rpartition(":")
                    socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
                ray.init(address, namespace=namespace, log_to_driver=False, configure_logging=False)
            yield
        except (RayError, OSError, RuntimeError) as error:
            ray.shutdown()
            raise RayUnreachable(str(error).partition("\n")[0]) from error
