"""`estimator-service serve`, `demo`, `doctor` and `admin gc`: what runs on this machine and asks no service."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from estimator_client.cli.output import AsJson, fail
from estimator_client.cli.target import DATA_DIRECTORY, target


def serve(
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen at.")] = 8000,
    data_dir: Annotated[Path, typer.Option(help="Where everything is stored.")] = Path("data"),
) -> None:
    """Run the whole service on this machine until it is stopped (Ctrl-C). Needs a checkout of the project."""
    _run(_script("serve"), "--host", host, "--port", str(port), "--data-dir", str(data_dir.resolve()))


def demo(keep: Annotated[bool, typer.Option("--keep", help="Leave the service running.")] = False) -> None:
    """From a data file to predictions on this machine, in about a minute. Needs a checkout of the project."""
    _run(_script("demo"), *(["--keep"] if keep else []))


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing; list what would be removed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove files that nothing needs from the artifact store, now; the service does it every few minutes. Settings as
    for `serve`. Needs a checkout of the project."""
    if target.data_dir != DATA_DIRECTORY or "SETTINGS_FILE" not in os.environ:
        os.environ["DATA_DIR"] = str(target.data_dir.resolve())
    _run(_script("sweep"), *(["--dry-run"] if dry_run else []), *(["--json"] if as_json else []))


def doctor(
    model_dir: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Directory that an old tf.estimator wrote.")],
) -> None:
    """Look at an old model directory: what is in it, whether it loads, and the code that continues it."""
    if importlib.util.find_spec("tensorflow") is None or importlib.util.find_spec("tf_estimator") is None:
        fail("The doctor needs the engine and TensorFlow: install the package estimator-service, not its client alone.")
    # TensorFlow reports oneDNN's operations whatever the log level; the doctor computes nothing with them
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "0", **os.environ}
    command = [sys.executable, "-m", "tf_estimator.doctor", str(model_dir)]
    raise typer.Exit(subprocess.run(command, check=False, env=quiet).returncode)


def _script(name: str) -> Path:
    """A script of the checkout that this module or the present directory is in."""
    roots = (Path(__file__).resolve().parents[2], Path.cwd(), *Path.cwd().parents)
    found = [root for root in roots if (root / "scripts" / name).is_file() and (root / "workers" / "service").is_dir()]
    if not found:
        fail(
            f"`{name}` runs the service, which is in no package: run it in a checkout of the project, or use its image "
            "(docker compose up)."
        )
    return found[0] / "scripts" / name


def _run(script: Path, *arguments: str) -> None:
    """Becomes the script, so that signals and the exit status are its own."""
    sys.stdout.flush()
    os.execv(script, [str(script), *arguments])  # noqa: S606
