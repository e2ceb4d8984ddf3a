"""`estimator-service predict` against a server that answers every request: forms of its output, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from estimator_client.cli.exits import Exit
from tests.client.test_transport import Answer, Server

ROWS = 3
#: more than a pipe and the buffers before it hold
LONG = "a" * 100_000


def answer(body: object) -> Answer:
    return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()


@pytest.fixture
def server() -> Iterator[Server]:
    """Knows the metadata of a model, and predictions for ROWS rows in one request."""
    predictions = [{"classes": [name], "probabilities": [0.25, 0.75], "note": LONG} for name in "abc"]
    metadata = answer({"features": [{"name": "x", "dtype": "float32"}]})
    with Server([metadata, answer({"predictions": predictions})]) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def command(server: Server, folder: Path, *options: str) -> list[str]:
    (folder / "rows.csv").write_text("x\n" + "1\n" * ROWS)
    service = ["--url", server.address, "--token", "t"]
    return [sys.executable, "-m", "estimator_client", *service, "predict", "m", str(folder / "rows.csv"), *options]


def test_the_ending_of_the_file_decides_its_form(server: Server, tmp_path: Path) -> None:
    [metadata, predictions] = server.answers
    readers: dict[str, Callable[[Path], list[str]]] = {
        "answers.csv": lambda path: pd.read_csv(path)["classes"].tolist(),
        "answers.parquet": lambda path: pd.read_parquet(path)["classes"].tolist(),
        "answers.JSONL": lambda path: [json.loads(line)["classes"][0] for line in path.read_text().splitlines()],
    }
    for name, read in readers.items():
        server.answers[:] = [metadata, predictions]
        subprocess.run(command(server, tmp_path, "--to", str(tmp_path / name)), check=True, timeout=500)
        assert read(tmp_path / name) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--to", "answers.xls"], "ending names no format: .csv, .json"), (["-o", "parquet"], "--to FILE")],
)
def test_a_form_that_cannot_be_written_is_refused_before_the_first_request(
    server: Server, tmp_path: Path, options: list[str], words: str
) -> None:
    done = subprocess.run(
        command(server, tmp_path, *options), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=500,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert (done.returncode, done.stdout, server.seen) == (Exit.USAGE, "", [])
    assert words in done.stderr
    assert not (tmp_path / "answers.xls").exists()


@pytest.mark.parametrize("arguments", [["predict"], ["--version"]])
def test_output_that_its_reader_closes_ends_the_command_without_a_word(
    server: Server, tmp_path: Path, arguments: list[str]
) -> None:
    asked = [sys.executable, "-m", "estimator_client", *arguments]
    if arguments == ["predict"]:
        asked = command(server, tmp_path)
    process = subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == Exit.PIPE_CLOSED
