"""The command line against a running API without workers: what it prints, and how it ends."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from estimator_client.cli.exits import Exit
from estimator_client.cli.root import app
from estimator_client.version import __version__
from tests.api.conftest import CSV, Api, train_job
from tests.api.test_events import run_job
from tests.api.test_models import publish
from tests.commands import invoke


@pytest.fixture
def things(tmp_path: Path) -> Path:
    path = tmp_path / "things.csv"
    path.write_bytes(CSV)
    return path


@pytest.fixture(autouse=True)
def no_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Profiles of the test alone."""
    path = tmp_path / "configuration" / "profiles.json"
    monkeypatch.setenv("ESTIMATOR_PROFILES", str(path))
    for name in ("ESTIMATOR_URL", "ESTIMATOR_TOKEN", "ESTIMATOR_PROFILE", "DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    return path


def run(api: Api, *arguments: str, stdin: str | None = None, **environment: str) -> Result:
    known = {"ESTIMATOR_URL": str(api.http.base_url), "DATA_DIR": str(api.service.settings.data_dir)}
    return invoke(["--patience", "0", *arguments], stdin, {**known, **environment})


def good(api: Api, *arguments: str, **options: Any) -> str:
    done = run(api, *arguments, **options)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_training_in_one_line_uploads_and_chooses_what_to_train(api: Api, things: Path) -> None:
    job = good(
        api, "train", str(things), "--label", "kind", "--no-watch", "--steps", "10", "--ignore", "colour"
    ).strip()

    shown = json.loads(good(api, "jobs", "show", job, "--json"))
    assert (shown["model"], shown["state"]) == ("things", "QUEUED")
    assert shown["spec"]["estimator"]["type"] == "DNNClassifier"
    assert shown["spec"]["estimator"]["args"]["hidden_units"] == [64, 32]
    assert shown["spec"]["train"]["max_steps"] == 10
    assert "colour" not in json.dumps(shown["spec"].get("features", shown["spec"]["estimator"]))


def test_a_training_without_options_says_what_it_chose(api: Api, things: Path) -> None:
    done = run(api, "train", str(things), "--no-watch")

    assert "It learns kind: --label names another column." in done.stderr
    spec = json.loads(good(api, "jobs", "show", done.stdout.strip(), "--json"))["spec"]
    assert spec["data"]["train"]["label"] == "kind"
    assert spec["estimator"]["args"]["optimizer"] == {"type": "Adam", "learning_rate": 0.003}
    assert (spec["data"]["train"]["batch_size"], spec["data"]["holdout"]) == (64, 0.2)
    assert (spec["train"]["max_steps"], spec["train"]["evaluate_every_steps"]) == (1000, 250)
    nothing = run(api, "report", done.stdout.strip())
    assert nothing.exit_code == Exit.NOT_FOUND
    assert "`evaluate` makes one" in nothing.stderr


@pytest.mark.parametrize(
    ("values", "estimator"),
    [
        ("0.5 1.5 2.5", "DNNRegressor"),
        ("0 1 2", "DNNClassifier"),
        ("3 700 12", "DNNRegressor"),
        ("a b a", "DNNClassifier"),
    ],
)
def test_the_label_says_which_estimator(api: Api, tmp_path: Path, values: str, estimator: str) -> None:
    file = tmp_path / "data.csv"
    file.write_text("x,y\n" + "".join(f"{n},{value}\n" for n, value in enumerate(values.split() * 5)))

    plan = run(api, "train", str(file), "--label", "y", "--dry-run")

    assert plan.exit_code == 0, plan.output
    assert plan.stderr.splitlines()[-1].startswith(estimator)
    assert json.loads(plan.stdout)["parameters"] > 0


def test_options_of_a_training_reach_the_job(api: Api, things: Path) -> None:
    options = ["--estimator", "LinearClassifier", "--arg", 'optimizer="Ftrl"', "--promote-when", "accuracy >= 0.9"]
    job = good(api, "train", str(things), "-l", "kind", "--no-watch", "--model", "mine", "--holdout", "0.3", *options)

    spec = json.loads(good(api, "jobs", "show", job.strip(), "--json"))["spec"]
    assert spec["estimator"]["type"] == "LinearClassifier"
    assert "hidden_units" not in spec["estimator"]["args"]
    assert spec["promote"] == {"label": "latest", "when": {"metric": "accuracy", "at_least": 0.9}}


@pytest.mark.parametrize("form", ["json", "yaml", "toml", "text", "stdin"])
def test_a_job_may_come_from_any_document(api: Api, tmp_path: Path, form: str) -> None:
    body = train_job(api.dataset())
    text = json.dumps(body)
    file = tmp_path / f"job.{form}"
    # JSON is YAML too; TOML is written out
    file.write_text(_toml(body) if form == "toml" else text)
    source = {"text": text, "stdin": "-"}.get(form, str(file))

    assert good(api, "submit", source, stdin=text).startswith("job_")


def _toml(body: dict[str, Any]) -> str:
    """The body as one inline table per field."""

    def value(one: Any) -> str:
        if isinstance(one, dict):
            return "{" + ", ".join(f"{name} = {value(inner)}" for name, inner in one.items()) + "}"
        return json.dumps(one)

    return "\n".join(f"{name} = {value(one)}" for name, one in body.items())


def test_lists_are_tables_json_and_csv(api: Api) -> None:
    ids = [api.submit(model=f"model-{number}") for number in range(3)][::-1]

    assert [row["id"] for row in json.loads(good(api, "jobs", "list", "--json"))] == ids
    assert [row["job"] for row in csv.DictReader(io.StringIO(good(api, "jobs", "list", "-o", "csv")))] == ids
    assert [line.split()[0] for line in good(api, "jobs", "list").splitlines()[1:]] == ids
    assert [row["id"] for row in json.loads(good(api, "jobs", "list", "--json", "--limit", "1"))] == ids[:1]
    assert json.loads(good(api, "jobs", "list", "--json", "--state", "FAILED")) == []
    assert [row["model"] for row in json.loads(good(api, "jobs", "list", "--json", "--model", "model-1"))] == [
        "model-1"
    ]


def test_nothing_is_wrapped_or_cut_where_no_terminal_is(api: Api) -> None:
    name = "a-name-that-is-" + "very-" * 20 + "long.csv"
    made = api.http.post("/v1/datasets", files={"file": (name, CSV)}, data={"name": name}).json()

    listed = good(api, "datasets", "list", COLUMNS="40").splitlines()

    assert len(listed) == 2
    assert made["id"] in listed[1]
    assert name in listed[1]


def test_data_sets_are_shown_previewed_and_deleted_by_name(api: Api, things: Path) -> None:
    dataset = good(api, "datasets", "add", str(things), "--name", "mine").strip()

    assert json.loads(good(api, "datasets", "preview", "mine", "--rows", "2", "--json"))[0] == {
        "size": 0, "colour": "red", "kind": "small",
    }  # fmt: skip
    columns = json.loads(good(api, "datasets", "show", dataset, "--json"))
    assert [column["name"] for column in columns] == ["size", "colour", "kind"]
    directly = run(api, "datasets", "add", str(things), "--direct")
    assert (directly.exit_code, "no object store" in directly.stderr) == (Exit.REFUSED, True)
    unclear = run(api, "datasets", "add", str(things), "--schema", "{")
    assert (unclear.exit_code, "Not valid JSON" in unclear.stderr) == (Exit.USAGE, True)
    assert run(api, "datasets", "delete", "mine").exit_code == 0
    assert run(api, "datasets", "show", "mine").exit_code == Exit.NOT_FOUND


def test_jobs_are_cancelled_retried_and_compared(api: Api) -> None:
    first, second = api.submit(), api.submit(train={"max_steps": 20})

    assert good(api, "jobs", "cancel", first, second) == f"{first} CANCELLED\n{second} CANCELLED\n"
    assert good(api, "jobs", "retry", first) == f"{first} QUEUED\n"
    rows = {row["field"]: row for row in json.loads(good(api, "jobs", "compare", first, second, "--json"))}
    assert (rows["/train/max_steps"][first], rows["/train/max_steps"][second]) == (10, 20)
    assert (rows["state"][first], rows["state"][second]) == ("QUEUED", "CANCELLED")
    assert "/model" not in rows


def test_a_watched_job_says_by_the_status_how_it_ended(api: Api) -> None:
    succeeded, cancelled = api.submit(), api.submit()
    worker = threading.Thread(target=run_job, args=(api, succeeded, 0.2))
    worker.start()
    assert run(api, "jobs", "watch", succeeded).exit_code == 0
    worker.join()
    run(api, "jobs", "cancel", cancelled)

    watched = run(api, "jobs", "watch", cancelled)

    assert watched.exit_code == Exit.JOB_CANCELLED
    assert "ended CANCELLED" in watched.stderr


def test_open_prints_the_address_of_the_page(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    job = api.submit()

    address = good(api, "jobs", "open", job).strip()

    assert [address] == opened == [f"{str(api.http.base_url).rstrip('/')}/#job/{job}"]


def test_tokens_are_made_listed_and_revoked(api: Api) -> None:
    secret = good(api, "tokens", "create", "notebook", "read", "predict").strip()
    assert api.http.get("/v1/jobs", headers={"Authorization": f"Bearer {secret}"}).status_code == 200
    token = next(row for row in json.loads(good(api, "tokens", "list", "--json")) if row["name"] == "notebook")
    assert run(api, "tokens", "revoke", token["id"]).exit_code == 0
    assert "notebook" in good(api, "tokens", "list")


def test_login_remembers_a_service_for_later_commands(api: Api, no_profile: Path) -> None:
    secret = api.token("read")["Authorization"].removeprefix("Bearer ")
    url = str(api.http.base_url).rstrip("/")
    elsewhere = {"ESTIMATOR_URL": "", "DATA_DIR": "/nowhere"}

    assert run(api, "--url", url, "login", "test", stdin=secret + "\n", DATA_DIR="/nowhere").exit_code == 0

    assert stat.S_IMODE(no_profile.stat().st_mode) == 0o600
    assert good(api, "models", "list", "--json", **elsewhere) == "[]\n"
    assert json.loads(good(api, "profiles", "--json", **elsewhere)) == [
        {"profile": "test", "url": url, "present": True}
    ]
    assert secret not in good(api, "profiles", **elsewhere)
    assert run(api, "tokens", "list", **elsewhere).exit_code == Exit.DENIED
    assert run(api, "logout", **elsewhere).exit_code == 0
    assert run(api, "models", "list", **elsewhere).exit_code == Exit.DENIED


def test_login_with_an_unknown_token_remembers_nothing(api: Api, no_profile: Path) -> None:
    assert run(api, "login", stdin="wrong\n").exit_code == Exit.DENIED
    assert not no_profile.exists()


def test_a_profiles_token_goes_to_no_other_address(api: Api, no_profile: Path) -> None:
    no_profile.parent.mkdir()
    no_profile.write_text('{"current": "a", "profiles": {"a": {"url": "http://127.0.0.1:9", "token": "secret"}}}')

    # the address of the test's service stands in ESTIMATOR_URL: the token of the profile is not for it
    assert run(api, "models", "list", DATA_DIR="/nowhere").exit_code == Exit.DENIED


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["submit", "{}"], Exit.REFUSED, "/type"),
        (["submit", "{"], Exit.USAGE, "Not valid JSON"),
        (["submit", "missing.json"], Exit.USAGE, "Cannot read missing.json: No such file"),
        (["train", "missing.csv", "--label", "x"], Exit.USAGE, "There is no file missing.csv"),
        (["train", "nothing", "--label", "x"], Exit.NOT_FOUND, "No data set has the id or the name 'nothing'"),
        (["predict", "nobody", "[1]"], Exit.NOT_FOUND, "nobody"),
        (["models", "show", "nobody"], Exit.NOT_FOUND, "nobody"),
        (["models", "promote", "nobody", "1"], Exit.NOT_FOUND, "nobody"),
        (["models", "rollback", "nobody"], Exit.NOT_FOUND, "nobody"),
        (["report", "eval_00000000000000000000000000"], Exit.NOT_FOUND, "404"),
        (["export", "nobody"], Exit.NOT_FOUND, "nobody"),
        (["jobs", "watch", "job_00000000000000000000000000"], Exit.NOT_FOUND, "404"),
        (["jobs", "compare", "job_00000000000000000000000000"], Exit.ERROR, "at least two"),
        (["--profile", "unknown", "models", "list"], Exit.USAGE, "No profile is called unknown"),
        (["datasets", "add", "missing.csv"], Exit.USAGE, "missing.csv"),
        (["--token", "wrong", "models", "list"], Exit.DENIED, "login"),
        (["--url", "http://127.0.0.1:9", "models", "list"], Exit.UNAVAILABLE, "estimator-service serve"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence_with_a_status_of_its_own(
    api: Api, arguments: list[str], status: Exit, words: str
) -> None:
    done = run(api, *arguments)

    assert done.exit_code == status, done.output
    assert words in done.stderr
    assert "Traceback" not in done.output
    assert done.stdout == ""


def test_a_label_that_is_no_column_is_told_with_the_columns(api: Api, things: Path) -> None:
    done = run(api, "train", str(things), "--label", "weight")

    assert done.exit_code == Exit.USAGE
    assert "The data have no column weight. Their columns: size, colour, kind." in done.stderr


def test_administration_shows_state_audit_and_estimators(api: Api) -> None:
    assert json.loads(good(api, "admin", "status", "--json"))
    assert good(api, "admin", "drain") == "0 jobs asked to go back to the queue\n"
    assert "jobs.drain" in good(api, "admin", "audit")
    assert "hidden_units" in good(api, "admin", "estimators")


def test_version_and_completion_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    # the shell is named, not looked for among the processes above
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "True")
    runner = CliRunner()

    assert runner.invoke(app, ["--version"]).stdout == f"estimator-service {__version__}\n"
    shown = runner.invoke(app, ["--show-completion", "bash"], prog_name="estimator-service")
    assert "_ESTIMATOR_SERVICE_COMPLETE" in shown.output


def test_serve_outside_a_checkout_says_where_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "estimator_client.cli.local.__file__", str(tmp_path / "site" / "estimator_client" / "cli" / "x.py")
    )
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(app, ["serve"])

    assert done.exit_code == Exit.ERROR
    assert "in a checkout of the project, or use its image" in done.stderr


def test_interrupted_command_ends_with_130(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        command = ["--url", address, "--token", "x", "jobs", "watch", "job_00000000000000000000000000"]
        process = subprocess.Popen(
            [sys.executable, "-m", "estimator_client", *command], stderr=subprocess.PIPE, text=True
        )
        connection, _ = silent.accept()
        with connection:  # it waits for an answer that does not come
            process.send_signal(signal.SIGINT)

            assert process.communicate(timeout=30)[1] == ""
            assert process.returncode == Exit.INTERRUPTED


def test_jobs_get_names_and_things_are_deleted_after_a_dry_run(api: Api) -> None:
    job = api.submit()
    assert (
        good(api, "jobs", "name", job, "spring baseline", "--tag", "b", "--tag", "a") == f"{job} spring baseline a b\n"
    )
    assert json.loads(good(api, "jobs", "list", "--text", "SPRING", "--tag", "a", "--json"))[0]["id"] == job
    assert json.loads(good(api, "jobs", "list", "--estimator", "Other", "--json")) == []

    planned = run(api, "jobs", "delete", job, "--dry-run")
    assert (planned.exit_code, planned.stdout) == (Exit.REFUSED, f"job {job}: 1 jobs; 0 bytes\n")
    assert "The job is QUEUED" in planned.stderr
    good(api, "jobs", "cancel", job)
    assert good(api, "datasets", "delete", "things", "--dry-run").startswith("data set things: 1 datasets;")
    good(api, "jobs", "delete", job)
    good(api, "datasets", "delete", "things")
    assert run(api, "jobs", "show", job).exit_code == Exit.NOT_FOUND

    number = str(publish(api))
    assert run(api, "models", "delete", "things").exit_code == Exit.REFUSED
    good(api, "models", "delete", "things", "--label", "latest")
    good(api, "models", "delete", "things", "--version", number)
    good(api, "models", "delete", "things")
    assert json.loads(good(api, "models", "list", "--json")) == []


def test_data_directory_is_copied_while_the_service_runs_and_what_is_missing_is_told(api: Api, tmp_path: Path) -> None:
    dataset = api.dataset()
    copy = tmp_path / "copy"

    assert good(api, "admin", "backup", str(copy)) == f"{copy}\n"

    good(api, "admin", "check", str(copy))
    with sqlite3.connect(copy / "registry.db") as registry:
        assert registry.execute("SELECT id FROM datasets").fetchall() == [(dataset,)]
    assert (copy / "admin-token").read_text() == (api.service.settings.data_dir / "admin-token").read_text()
    assert run(api, "admin", "backup", str(copy)).exit_code == Exit.USAGE
    shutil.rmtree(copy / "artifacts" / "datasets" / dataset)
    checked = run(api, "admin", "check", str(copy))
    assert (checked.exit_code, checked.stdout) == (1, f"data set {dataset}: artifacts/datasets/{dataset} is gone\n")
    assert run(api, "admin", "check", str(tmp_path)).exit_code == Exit.NOT_FOUND


def test_release_is_started_shown_paused_and_rolled_back(api: Api) -> None:
    for _ in range(2):
        publish(api)
    api.http.put("/v1/models/things/labels/latest", json={"version": 1}).raise_for_status()
    assert run(api, "models", "release", "start", "things", "2", "--shares", "x").exit_code == Exit.USAGE
    assert run(api, "models", "release", "show", "things").exit_code == Exit.NOT_FOUND
    made = good(api, "models", "release", "start", "things", "2", "--shares", "50,500", "--shadow").strip()
    [row] = json.loads(good(api, "models", "release", "list", "things", "--json"))
    assert (row["id"], row["state"]) == (made, "RUNNING")
    assert [(step["shadow"], step["per_mille"]) for step in row["plan"]["steps"]] == [
        (True, 0),
        (False, 50),
        (False, 500),
    ]
    live, new = json.loads(good(api, "models", "release", "show", "things", "--json"))
    assert (live["version"], new["version"], new["requests"]) == (1, 2, 0)
    assert good(api, "models", "release", "pause", "things") == f"{made} PAUSED\n"
    assert good(api, "models", "release", "resume", "things", made) == f"{made} RUNNING\n"
    assert good(api, "models", "rollback", "things") == "things latest → 1\n"
    assert json.loads(good(api, "models", "release", "list", "things", "--json"))[0]["state"] == "ABORTED"
    assert run(api, "models", "release", "abort", "things").exit_code == Exit.REFUSED
