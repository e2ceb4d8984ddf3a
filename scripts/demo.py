"""The service's main job on real data: a data file goes in, online predictions come out. Called by `scripts/demo`."""

from __future__ import annotations

import argparse
import csv
import importlib.util
import io
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
KEPT_BACK = 70
ENOUGH = 0.9
LABEL = "species"
NUMBERS = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "year")
MAX_STEPS = 6000
ENDED = {"SUCCEEDED", "FAILED", "CANCELLED"}
console = Console()


class DemoFailed(Exception):
    """The demo cannot go on; the text says why."""


class Service:
    """`scripts/serve` as a child, with its output in a log file."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self.data_dir, self.port = data_dir, port
        self.address = f"http://127.0.0.1:{port}"
        self.log = data_dir / "demo-service.log"
        data_dir.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "workers.service", "--port", str(port), "--data-dir", str(data_dir)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def wait_until(self, path: str, seconds: float) -> float:
        """Waits for a 200 from a public path; returns the seconds it took."""
        begin = time.monotonic()
        while time.monotonic() - begin < seconds:
            if self.process.poll() is not None:
                raise DemoFailed(f"the service stopped with status {self.process.returncode}:\n{self.last_words()}")
            try:
                if httpx.get(self.address + path, timeout=1).status_code == 200:
                    return time.monotonic() - begin
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise DemoFailed(f"{path} did not answer within {seconds:.0f} s:\n{self.last_words()}")

    def last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-25:])

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise DemoFailed("the service did not stop within 60 s") from None


class Api:
    """Calls the service; a moment without an answer (a part that is being restarted) is waited out."""

    def __init__(self, address: str, token: str) -> None:
        self.headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=address, headers=self.headers, timeout=30)

    def call(self, method: str, path: str, patience_s: float = 30.0, **options: Any) -> dict[str, Any]:
        give_up = time.monotonic() + patience_s
        while True:
            try:
                answer = self._http.request(method, path, **options)
            except httpx.TransportError as error:
                if method == "POST" and not path.endswith(":predict"):
                    raise DemoFailed(f"{method} {path}: {error}") from None
                problem = str(error)
            else:
                if answer.is_success:
                    return dict(answer.json())
                problem = f"{answer.status_code} {answer.text[:1000]}"
                if answer.status_code not in (429, 503):
                    raise DemoFailed(f"{method} {path} was answered {problem}")
            if time.monotonic() > give_up:
                raise DemoFailed(f"{method} {path}: {problem}")
            time.sleep(0.3)


def penguins() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """344 penguins from the package palmerpenguins: the rows to learn from and the rows kept back."""
    spec = importlib.util.find_spec("palmerpenguins")
    if spec is None or not spec.submodule_search_locations:
        raise DemoFailed("the package palmerpenguins is not installed; remove .venv and run scripts/demo again")
    path = next(Path(spec.submodule_search_locations[0]).rglob("penguins.csv"))
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    random.Random(7).shuffle(rows)
    return rows[KEPT_BACK:], rows[:KEPT_BACK]


def as_csv(rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_instance(row: dict[str, str]) -> dict[str, Any]:
    """A row as JSON: numbers as numbers, what is missing as null, without the label."""
    missing = ("", "NA")
    return {
        name: None if text in missing else float(text) if name in NUMBERS else text
        for name, text in row.items()
        if name != LABEL
    }


def upload(api: Api, name: str, rows: list[dict[str, str]]) -> dict[str, Any]:
    files = {"file": (f"{name}.csv", as_csv(rows), "text/csv")}
    dataset = api.call("POST", "/v1/datasets", files=files, data={"name": name})
    console.print(
        f"Uploaded [bold]{name}[/]: {dataset['rows']} rows, {len(dataset['columns'])} columns, {dataset['id']}"
    )
    return dataset


def watch(api: Api, job: dict[str, Any], title: str) -> dict[str, Any]:
    """Shows a job's progress until it ends. Raises DemoFailed unless it succeeded."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        line = bar.add_task(title, total=None, text="")
        while True:
            job = api.call("GET", f"/v1/jobs/{job['id']}")
            progress = job.get("progress") or {}
            text = job["state"].lower()
            if progress.get("step") is not None:
                text += f"  step {progress['step']}"
                bar.update(line, total=progress.get("max_steps"), completed=progress["step"])
            if progress.get("loss") is not None:
                text += f"  loss {progress['loss']:.4f}"
            if progress.get("steps_per_s"):
                text += f"  {progress['steps_per_s']:,.0f} steps/s"
            if len(job.get("attempts") or []) > 1:
                text += f"  (attempt {len(job['attempts'])})"
            bar.update(line, text=text)
            if job["state"] in ENDED:
                if job["state"] == "SUCCEEDED":
                    bar.update(line, total=1, completed=1)
                break
            time.sleep(0.1)
    if job["state"] != "SUCCEEDED":
        error = job.get("error") or {}
        raise DemoFailed(f"the job {job['id']} ended {job['state']}: {error.get('kind')}: {error.get('detail')}")
    return job


def show_timings(job: dict[str, Any]) -> None:
    """Where the time went between the POST and the first training step, as the service recorded it."""
    at = job["result"]["timings"]
    console.print(f"First training step [bold]{at['first_step']:.2f} s[/] after the POST:")
    before = 0.0
    for name, moment in sorted(at.items(), key=lambda item: item[1]):
        if 0.0 < moment <= at["first_step"]:
            console.print(f"  {moment - before:5.2f} s  until {name.replace('_', ' ')}")
            before = moment


def train_body(dataset: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "type": "train",
        "model": "penguins",
        "estimator": {
            "type": "DNNClassifier",
            "args": {"hidden_units": [32, 16], "optimizer": {"type": "Adagrad", "learning_rate": 0.03}},
        },
        "columns": "auto",
        "data": {
            "train": {"dataset": dataset["id"], "label": LABEL, "batch_size": 32, "shuffle": True},
            "holdout": 0.15,
        },
        "train": {"max_steps": MAX_STEPS, "save_checkpoints_steps": 2000, "seed": 7},
        **changes,
    }


def warm_up(api: Api, dataset: dict[str, Any]) -> None:
    """One step of training, so that the worker's trainer has imported TensorFlow and run once."""
    body = train_body(dataset, model="warm-up", train={"max_steps": 1}, export="none")
    watch(api, api.call("POST", "/v1/jobs", json=body), "Warming up")


def train(api: Api, dataset: dict[str, Any]) -> dict[str, Any]:
    job = watch(api, api.call("POST", "/v1/jobs", json=train_body(dataset)), "Training  ")
    show_timings(job)
    return job


def evaluate(api: Api, train_job: dict[str, Any], dataset: dict[str, Any]) -> None:
    version = train_job["result"]["version"]
    body = {
        "type": "evaluate",
        "model": "penguins",
        "version": version,
        "data": {"eval": {"dataset": dataset["id"], "label": LABEL, "batch_size": 64}},
        "name": "kept-back",
    }
    job = watch(api, api.call("POST", "/v1/jobs", json=body), "Evaluating")
    found = api.call("GET", f"/v1/jobs/{job['id']}/evaluations")
    table = Table("metric", "value", title=f"Evaluation of version {version} on rows it never saw")
    for name, value in sorted(found["evaluations"][0]["metrics"].items()):
        table.add_row(name, f"{value:.4f}")
    console.print(table)


def predict(api: Api, rows: list[dict[str, str]]) -> float:
    """Asks the predict endpoint about the kept-back rows; shows some answers; returns the share that is right."""
    path = "/v1/models/penguins:predict"
    answers = api.call("POST", path, json={"instances": [as_instance(row) for row in rows]})["predictions"]
    table = Table("island", "bill mm", "mass g", "answer", "sure", "truth", "", title=f"POST {path}")
    right = 0
    for i, (row, answer) in enumerate(zip(rows, answers, strict=True)):
        said = answer["classes"][0]
        right += said == row[LABEL]
        if i < 12 or said != row[LABEL]:
            mark = "[green]right[/]" if said == row[LABEL] else "[red]wrong[/]"
            sure = f"{max(answer['probabilities']):.2f}"
            table.add_row(row["island"], row["bill_length_mm"], row["body_mass_g"], said, sure, row[LABEL], mark)
    console.print(table)
    console.print(f"[bold]{right} of {len(rows)}[/] kept-back penguins right ({right / len(rows):.1%}).")
    return right / len(rows)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(data_dir: Path, port: int, keep: bool) -> bool:
    """Runs the demo; returns whether enough predictions were right."""
    console.print(f"Starting the service in [bold]{data_dir}[/] ...")
    service = Service(data_dir, port)
    keep_running = False
    try:
        console.print(f"  /healthz answered after {service.wait_until('/healthz', 30):.1f} s", end="")
        console.print(f", /readyz {service.wait_until('/readyz', 30):.1f} s later")
        api = Api(service.address, (data_dir / "admin-token").read_text().strip())
        known, kept_back = penguins()
        train_set, test_set = upload(api, "penguins", known), upload(api, "penguins-kept-back", kept_back)
        warm_up(api, train_set)
        job = train(api, train_set)
        evaluate(api, job, test_set)
        good = predict(api, kept_back) >= ENOUGH
        keep_running = keep
        if not good:
            console.print(f"[red]That is under {ENOUGH:.0%}: something is wrong.[/]")
        elif keep:
            console.print(
                f"\nThe service goes on running (process {service.process.pid}; stop it: kill {service.process.pid}).\n"
                f"  dashboard   {service.address}/\n  API docs    {service.address}/docs\n"
                f"  token       {data_dir / 'admin-token'}"
            )
        else:
            console.print(
                "\nTo look around:     scripts/demo --keep   (dashboard at /, API documentation at /docs)\n"
                "To start for real:  scripts/serve --data-dir ./data"
            )
        return good
    finally:
        if not keep_running:
            service.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the service running")
    parser.add_argument("--port", type=int, default=0, help="port of the service (default: a free one)")
    parser.add_argument("--data-dir", type=Path, help="default: a temporary directory, removed at the end")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    port = options.port or free_port()
    try:
        if options.data_dir or options.keep:
            data_dir = options.data_dir or Path(tempfile.mkdtemp(prefix="estimator-demo-"))
            return 0 if run(data_dir.resolve(), port, options.keep) else 1
        with tempfile.TemporaryDirectory(prefix="estimator-demo-") as directory:
            return 0 if run(Path(directory), port, keep=False) else 1
    except DemoFailed as error:
        console.print(f"[red]The demo failed:[/] {escape(str(error))}", highlight=False)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
