"""An environment of its own with one built wheel and exactly the distributions that the wheel asks for.

Nothing is fetched: what the wheel needs is linked from the environment of the tests, distribution by distribution, so
that a dependency which a wheel uses but does not name is missing here as it would be on a stranger's machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}


@dataclass(frozen=True)
class Environment:
    """A virtual environment at `path`."""

    path: Path

    @property
    def bin(self) -> Path:
        return self.path / "bin"

    @property
    def site_packages(self) -> Path:
        return next((self.path / "lib").glob("python3.*")) / "site-packages"

    def run(self, *command: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs a program of the environment, away from the checkout and without its variables."""
        return subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=cwd,
            env={**_CLEAN, "TF_CPP_MIN_LOG_LEVEL": "2", "PATH": f"{self.bin}:/usr/bin:/bin", **variables},
            capture_output=True,
            text=True,
            check=False,
        )


def build(target: Path, source: Path) -> Path:
    """The wheel of the project at `source`, built without the network."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", target, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = target.glob("*.whl")
    return wheel


def install(path: Path, wheel: Path, *, dependencies: bool = True) -> Environment:
    """A new environment with the wheel, and with what it needs unless `dependencies` is false."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", path], check=True)
    environment = Environment(path)
    pip = [sys.executable, "-m", "pip", "--python", environment.bin / "python", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
    if dependencies:
        for found in closure(requirements(wheel)).values():
            _link(found, environment.site_packages)
    return environment


def requirements(wheel: Path) -> list[Requirement]:
    """What the wheel needs on this machine, without extras."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
    asked = [Requirement(text) for text in metadata.get_all("Requires-Dist") or []]
    return [one for one in asked if one.marker is None or one.marker.evaluate({"extra": ""})]


def closure(asked: list[Requirement]) -> dict[str, Distribution]:
    """The installed distributions that satisfy the requirements, and all that those need in turn."""
    found: dict[str, Distribution] = {}
    waiting = [(one, extra) for one in asked for extra in ("", *one.extras)]
    seen: set[tuple[str, str]] = set()
    while waiting:
        one, extra = waiting.pop()
        name = canonicalize_name(one.name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            raise AssertionError(f"{one} is not in the environment of the tests") from None
        assert one.specifier.contains(found[name].version), f"{one}, but {found[name].version} is installed"
        for text in found[name].requires or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(needed, wanted) for wanted in ("", *needed.extras)]
    return found


def _link(found: Distribution, target: Path) -> None:
    """Links each of the distribution's files' topmost folder that is its own (not shared, as `google` is)."""
    source = Path(sysconfig.get_paths()["purelib"])
    for file in found.files or []:
        parts = file.parts
        if parts[0] == ".." or parts[0] == "__pycache__":
            continue
        depth = 1
        while depth < len(parts) and not _is_whole(source.joinpath(*parts[:depth])):
            depth += 1
        place = target.joinpath(*parts[:depth])
        if not place.exists() and not place.is_symlink():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(source.joinpath(*parts[:depth]))


def _is_whole(folder: Path) -> bool:
    """Whether the folder belongs to one distribution: a package, or a distribution's own metadata or libraries."""
    return (folder / "__init__.py").exists() or folder.suffix in (".dist-info", ".libs")
