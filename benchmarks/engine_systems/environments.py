"""Python environments of the measured systems. The peer's is made here, once, beside this file's folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).parent.parent / ".peers"
TF215 = ["tensorflow-cpu==2.15.1", "tensorflow-estimator==2.15.0", "numpy==1.26.4"]
_PROBE = "import ensurepip, sys, venv; sys.exit(not (3, 9) <= sys.version_info < (3, 12))"


def find_old_python(named: str | None) -> str | None:
    """A Python 3.9 to 3.11, which TensorFlow 2.15 needs: the named one, else the first on PATH, else None."""
    for candidate in [named] if named else ["python3.11", "python3.10", "python3.9", "python3"]:
        path = shutil.which(candidate)
        if path and subprocess.run([path, "-c", _PROBE], capture_output=True, check=False).returncode == 0:
            return path
    return None


def estimator_python(named: str | None) -> str | None:
    """The interpreter that has tf.estimator 2.15.1; its environment is made when it is missing. None: no old Python."""
    directory = PEERS / "tf215"
    python = directory / "bin" / "python"
    if (directory / "made").exists():
        return str(python)
    base = find_old_python(named)
    if base is None:
        return None
    print("Making the peer's environment (TensorFlow 2.15.1, once) ...", file=sys.stderr, flush=True)
    subprocess.run([base, "-m", "venv", "--clear", str(directory)], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *TF215]
    subprocess.run(install, check=True)
    (directory / "made").touch()
    return str(python)
