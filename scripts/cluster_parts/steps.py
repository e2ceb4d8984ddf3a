"""What is tried on the cluster, in the order of `STEPS`: each begins with all hosts up, and leaves them so."""

from __future__ import annotations

import io
import itertools
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from scripts import demo
from scripts.chaos_parts import work
from scripts.cluster_parts import network
from scripts.cluster_parts.cluster import ADDRESSES, APIS, STORE, WORKERS, Cluster, wait_for
from scripts.cluster_parts.host import shared_places
from scripts.cluster_parts.report import Report

SINGLE_STEPS, GANG_STEPS = 40_000, 2_400
"""Of the jobs that are disturbed: long enough for a lease to run out while they train."""
_LONG_S = 600.0
_MODEL = "penguins"


@dataclass
class Trial:
    """The cluster and what was asked of it.

    Attributes:
        submitted: steps of the job → job → seed, of the jobs that are compared with an undisturbed one.
        references: the same of these, seed → job.
        others: jobs of the demo.
    """

    cluster: Cluster
    report: Report
    submitted: dict[int, dict[str, int]] = field(default_factory=lambda: {SINGLE_STEPS: {}, GANG_STEPS: {}})
    references: dict[int, dict[int, str]] = field(default_factory=lambda: {SINGLE_STEPS: {}, GANG_STEPS: {}})
    others: list[str] = field(default_factory=list)
    dataset: str = ""
    kept_back: list[dict[str, str]] = field(default_factory=list)
    api: int = 0

    def call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Through the API that is asked now; `api` chooses it."""
        return self.cluster.apis[self.api].call(method, path, patience_s=60, **options)

    def job(self, job: str) -> dict[str, Any]:
        return self.call("GET", f"/v1/jobs/{job}")

    def submit(self, workers: int, *, reference: bool = False) -> str:
        """A training by so many workers; both APIs take jobs, one after the other."""
        steps = GANG_STEPS if workers > 1 else SINGLE_STEPS
        return self._submit(steps, workers, reference)

    def gang_reference(self) -> str:
        """The gang's training, by one worker alone."""
        return self._submit(GANG_STEPS, 1, True)

    def _submit(self, steps: int, workers: int, reference: bool) -> str:
        body = work.train_body(self.dataset, 0, "reference" if reference else "disturbed", steps=steps)
        if steps == GANG_STEPS:
            body = work.gang_body(body, workers)
        job = str(self.call("POST", "/v1/jobs", json=body)["id"])
        if reference:
            self.references[steps][0] = job
        else:
            self.submitted[steps][job] = 0
        return job

    def ended(self, job: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.job(job)
            return found if found["state"] in demo.ENDED else None

        return wait_for(look, f"the end of {job}", _LONG_S)

    def training(self, job: str) -> dict[str, Any]:
        """The job once it has a checkpoint and trains on."""

        def look() -> dict[str, Any] | None:
            found = self.job(job)
            if found["state"] in demo.ENDED:
                raise AssertionError(f"{job} ended {found['state']} before anything was done to it")
            return found if self.call("GET", f"/v1/jobs/{job}/checkpoints")["checkpoints"] else None

        return wait_for(look, f"a checkpoint of {job}", _LONG_S)


def host_of(worker: str) -> str:
    return worker.partition(":")[0]


def hosts_of(attempts: list[dict[str, Any]]) -> list[str]:
    return [host_of(attempt["worker"]) for attempt in attempts]


def nothing_shared(trial: Trial) -> None:
    """The hosts see each other by the network only."""
    cluster, report = trial.cluster, trial.report
    for one, other in itertools.combinations(cluster.hosts.values(), 2):
        places = shared_places(one.mountinfo, other.mountinfo)
        told = f": they share {', '.join(places)}" if places else ""
        report.check(f"{one.name} and {other.name} have no path in common that can be written{told}", not places)
    report.check("both APIs are ready, and know two workers", cluster.living_workers() == set(WORKERS))


def demo_job(trial: Trial) -> None:
    """The demo, with its requests shared out among the APIs."""
    first, second = trial.cluster.apis
    known, trial.kept_back = demo.penguins()
    train_set, test_set = demo.upload(first, _MODEL, known), demo.upload(second, "kept-back", trial.kept_back)
    job = demo.watch(second, second.call("POST", "/v1/jobs", json=demo.train_body(train_set)), "Training")
    trial.report.check("a data set that came to one API was trained by a job of the other", job["result"]["version"])
    demo.evaluate(first, job, test_set)
    body = {"type": "export", "model": _MODEL, "version": job["result"]["version"], "promote": None}
    export = demo.watch(first, first.call("POST", "/v1/jobs", json=body), "Exporting")
    for name, api in zip(APIS, trial.cluster.apis, strict=True):
        right = demo.predict(api, trial.kept_back)
        trial.report.check(f"{name} predicts {right:.1%} of the kept-back rows right", right >= demo.ENOUGH)
    files = [_saved_model(trial, name, job["result"]["version"]) for name in APIS]
    trial.report.check("the version is the same bytes from both APIs", files[0] and files[0] == files[1])
    trial.report.check("and exported once more by a job", export["result"]["version"] != job["result"]["version"])
    trial.others += [job["id"] for job in first.call("GET", "/v1/jobs")["jobs"]]


def _saved_model(trial: Trial, name: str, version: int) -> dict[str, bytes]:
    """The files of a version by one API."""
    api = trial.cluster.apis[APIS.index(name)]
    with httpx.Client(timeout=60, trust_env=False, headers=api.headers) as http:
        answer = http.get(f"http://{ADDRESSES[name]}:8000/v1/models/{_MODEL}/versions/{version}/saved_model")
    answer.raise_for_status()
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]


def gang(trial: Trial) -> None:
    """One training by the workers of both hosts."""
    trial.dataset = trial.call(
        "POST", "/v1/datasets", files={"file": ("table.csv", work.table_csv())}, data={"name": "table"}
    )["id"]
    reference = trial.ended(trial.gang_reference())
    trial.report.check(f"one worker alone does the training ({_seconds(reference):.1f} s)", _succeeded(reference))
    job = trial.submit(2)
    seen = trial.training(job)
    seats = {host_of(seat["worker"]) for seat in seen["seats"]}
    trial.report.check(f"its seats are on {' and '.join(sorted(seats))}", seats == set(WORKERS))
    with trial.cluster.sql() as connection:
        rows = connection.execute("SELECT worker, address FROM seats WHERE job_id = %s", [job]).fetchall()
    right = {(host_of(worker), address.rpartition(":")[0]) for worker, address in rows}
    wanted = {(name, ADDRESSES[name]) for name in WORKERS}
    trial.report.check(f"TF_CONFIG has the hosts' own addresses ({', '.join(row[1] for row in rows)})", right == wanted)
    done = trial.ended(job)
    trial.report.check(f"both train it to its end at the first attempt ({_seconds(done):.1f} s)", _succeeded(done))
    trial.report.check("no attempt was lost", len(done["attempts"]) == 1)


def label_flip(trial: Trial) -> None:
    """A label that is set at one API, seen at both."""
    version = f"/v1/models/{_MODEL}/versions/2"
    trial.call("POST", f"{version}/load")
    wait_for(
        lambda: trial.call("GET", version)["model_version_status"][0]["state"] == "AVAILABLE", "version 2 to be loaded"
    )
    for setter, version in ((0, 2), (1, 1)):
        began = time.monotonic()
        trial.cluster.apis[setter].call("PUT", f"/v1/models/{_MODEL}/labels/latest", json={"version": version})
        for name in APIS:
            wait_for(lambda name=name, version=version: answered_by(trial, name) == version, f"the label at {name}")
            took = time.monotonic() - began
            trial.report.check(f"set to {version} at {APIS[setter]}: {name} answers by it after {took:.2f} s", True)


def answered_by(trial: Trial, name: str) -> int | None:
    """The version with which an API answers; None while it does not."""
    instance = demo.as_instance(trial.kept_back[0])
    api = trial.cluster.apis[APIS.index(name)]
    try:
        answer = httpx.post(
            f"http://{ADDRESSES[name]}:8000/v1/models/{_MODEL}:predict",
            json={"instances": [instance]},
            headers=api.headers,
            timeout=5,
            trust_env=False,
        )
    except httpx.TransportError:
        return None
    return int(answer.headers["x-model-version"]) if answer.status_code == 200 else None


def api_cut_off(trial: Trial) -> None:
    """An API host without a network: the other answers; when it is back it knows what came in the meantime."""
    network.pull(APIS[1])
    trial.report.tell(f"{APIS[1]} is cut off")
    trial.report.check(f"{APIS[1]} is not reached", answered_by(trial, APIS[1]) is None)
    trial.call("PUT", f"/v1/models/{_MODEL}/labels/latest", json={"version": 2})
    wait_for(lambda: answered_by(trial, APIS[0]) == 2, f"the label at {APIS[0]}")
    trial.report.check(f"{APIS[0]} answers by the label that was set meanwhile", True)
    network.plug(APIS[1])
    began = time.monotonic()
    wait_for(lambda: answered_by(trial, APIS[1]) == 2, f"the label at {APIS[1]}")
    took = time.monotonic() - began
    trial.report.check(f"{APIS[1]} is back, and answers by it after {took:.1f} s", True)


def worker_cut_off(trial: Trial) -> None:
    """A worker's host without a network while it trains, and back."""
    reference = trial.ended(trial.submit(1, reference=True))
    trial.report.check(f"undisturbed, the training takes {_seconds(reference):.1f} s", _succeeded(reference))
    job = trial.submit(1)
    host = host_of(trial.training(job)["attempts"][-1]["worker"])
    network.pull(host)
    trial.report.tell(f"{host} is cut off")
    done = trial.ended(job)
    _went_on_elsewhere(trial, done, host)
    network.plug(host)
    trial.report.tell(f"{host} has its network again")
    trial.cluster.wait_for_worker(host)
    _both_work(trial)


def worker_killed(trial: Trial) -> None:
    """A worker's host that dies while it trains, and is started again."""
    job = trial.submit(1)
    host = host_of(trial.training(job)["attempts"][-1]["worker"])
    _kill(trial, host)
    _went_on_elsewhere(trial, trial.ended(job), host)
    _start_again(trial, host)
    _both_work(trial)


def gang_loses_a_host(trial: Trial) -> None:
    """A host dies while both train one job: it goes on from the chief's checkpoint once the host is there again."""
    job = trial.submit(2)
    seats = {seat["number"]: host_of(seat["worker"]) for seat in trial.training(job)["seats"]}
    _kill(trial, seats[0])
    _start_again(trial, seats[0])
    done = trial.ended(job)
    trial.report.check(f"the gang's job is done, at attempt {len(done['attempts'])}", _succeeded(done))
    trial.report.check("its first attempt was lost with the chief's host", done["attempts"][0]["state"] == "LOST")
    resumed = done["attempts"][-1]["resumed_from_step"]
    trial.report.check(f"the last one went on from step {resumed}", resumed)


def _kill(trial: Trial, name: str) -> None:
    trial.report.tell(f"{name} is killed, with {trial.cluster.hosts[name].kill()} processes")


def _start_again(trial: Trial, name: str) -> None:
    trial.cluster.hosts[name].start()
    trial.report.tell(f"{name} is started again")
    trial.cluster.wait_for_worker(name)


def _went_on_elsewhere(trial: Trial, done: dict[str, Any], host: str) -> None:
    attempts = done["attempts"]
    trial.report.check(f"the job is done, after {_seconds(done):.1f} s", _succeeded(done))
    trial.report.check(f"its attempts ran on {', then '.join(hosts_of(attempts))}", hosts_of(attempts)[-1] != host)
    trial.report.check(f"the attempt on {host} counts as lost", attempts[0]["state"] == "LOST")
    resumed = attempts[-1]["resumed_from_step"]
    trial.report.check(f"the other host went on from step {resumed}, which it had from the store", resumed)


def _both_work(trial: Trial) -> None:
    """Two jobs at once are done by two hosts, so the one that is back takes part."""
    jobs = [trial.submit(1) for _ in range(2)]
    done = [trial.ended(job) for job in jobs]
    hosts = {hosts_of(job["attempts"])[-1] for job in done}
    trial.report.check(f"two jobs at once run on {' and '.join(sorted(hosts))}", hosts == set(WORKERS))


def _succeeded(job: dict[str, Any]) -> bool:
    return bool(job["state"] == "SUCCEEDED")


def _seconds(job: dict[str, Any]) -> float:
    """From the submit to the end, as the service has it."""
    return float(job["result"].get("timings", {}).get("trained", float("nan"))) if job.get("result") else float("nan")


STEPS: list[tuple[str, Callable[[Trial], None]]] = [
    (f"Hosts {', '.join([STORE, *APIS, *WORKERS])}", nothing_shared),
    ("The demo's job", demo_job),
    ("A gang over two hosts", gang),
    ("A label seen on both APIs", label_flip),
    ("An API's host cut off, and back", api_cut_off),
    ("A worker's host cut off, and back", worker_cut_off),
    ("A worker's host killed", worker_killed),
    ("A gang that loses a host", gang_loses_a_host),
]
