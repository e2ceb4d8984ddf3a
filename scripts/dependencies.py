#!/usr/bin/env python3
"""Checks the lock files: the first satisfies pyproject.toml; licences that the project may be used with, of what is
installed here; known vulnerabilities where OSV answers.

Prints what is wrong; the exit code says whether anything is. Without a connection to the database of vulnerabilities
it says so, and only the licences count. Another database with OSV's interface: OSV_URL.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import httpx
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
OSV = "https://api.osv.dev"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", re.MULTILINE)
#: Licences whose terms an installation as a whole can keep beside Apache-2.0. LGPL libraries are imported, not copied.
_ACCEPTED = re.compile(
    r"\b(apache|mit|mit-0|bsd|isc|psf|python software foundation|mozilla|mpl|lgpl|lesser general public|unlicense|zlib"
    r"|hpnd|0bsd|cc0|public domain|zero-clause)",
    re.IGNORECASE,
)
#: Distributions whose metadata name no licence; what their files say.
_KNOWN = {"namex": "Apache-2.0"}


def pins(lock: Path) -> dict[str, str]:
    """Name to version of every distribution in the lock file."""
    return dict(_PIN.findall(lock.read_text()))


def unsatisfied(lock: Path, pyproject: Path) -> list[str]:
    """The requirements of pyproject.toml's groups that the lock file does not satisfy: it is to be made anew."""
    pinned = {canonicalize_name(name): version for name, version in pins(lock).items()}
    groups = tomllib.loads(pyproject.read_text())["dependency-groups"]
    wrong = []
    for requirement in (Requirement(text) for group in ("service", "cpu", "dev", "docs") for text in groups[group]):
        version = pinned.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(version):
            wrong.append(f"{requirement} is not satisfied ({version or 'not pinned'}): run scripts/lock")
    return list(dict.fromkeys(wrong))  # two groups may ask for the same


def licence(found: Distribution) -> str:
    """What the metadata say: the expression, else the classifiers, else the free text."""
    metadata = found.metadata
    if expression := metadata.get("License-Expression"):
        return str(expression)
    classifiers = [text for text in metadata.get_all("Classifier") or [] if text.startswith("License ::")]
    named = [text.rsplit(" :: ", 1)[1] for text in classifiers if not text.endswith("OSI Approved")]
    return ", ".join(named) or str(metadata.get("License") or "").strip().partition("\n")[0]


def unacceptable(lock: Path) -> list[str]:
    """The distributions of the lock file, as installed here, whose licence is not an accepted one."""
    wrong = []
    for name in pins(lock):
        try:
            terms = _KNOWN.get(name) or licence(distribution(name))
        except PackageNotFoundError:
            continue  # for another platform
        if not _ACCEPTED.search(terms):
            wrong.append(f"{name}: licence {terms or 'not named'}")
    return wrong


def vulnerable(lock: Path, url: str) -> list[str]:
    """Known vulnerabilities of the pinned versions. Raises httpx.HTTPError where the database does not answer."""
    pinned = list(pins(lock).items())
    queries = [{"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in pinned]
    answer = httpx.post(f"{url}/v1/querybatch", json={"queries": queries}, timeout=10)
    results = answer.raise_for_status().json()["results"]
    return [
        f"{name} {version}: {found['id']}"
        for (name, version), result in zip(pinned, results, strict=True)
        for found in result.get("vulns") or []
    ]


def main(locks: list[Path]) -> int:
    wrong = [f"{LOCK.name}: {text}" for text in unsatisfied(LOCK, ROOT / "pyproject.toml")]
    url = os.environ.get("OSV_URL", OSV)
    for lock in locks:
        wrong += [f"{lock.name}: {text}" for text in unacceptable(lock)]
    for lock in locks:
        try:
            wrong += [f"{lock.name}: {text}" for text in vulnerable(lock, url)]
        except httpx.HTTPError as error:
            others = ", nor were those after it" if lock != locks[-1] else ""
            print(f"{lock.name} was NOT checked for known vulnerabilities{others}: {url} does not answer ({error})")
            break
    print("\n".join(wrong) or f"licences: {len(pins(locks[0]))} distributions, all accepted")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main([Path(name) for name in sys.argv[1:]] or [LOCK, *sorted(ROOT.glob("requirements-*.lock"))]))
