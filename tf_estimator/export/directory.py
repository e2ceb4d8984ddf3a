"""Directories of exports: timestamped, appearing whole or not at all."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

ASSETS_EXTRA = "assets.extra"


@contextmanager
def whole(directory: Path) -> Iterator[Path]:
    """Gives a temporary directory beside `directory` that becomes `directory` at the end, or vanishes on an error.

    Raises:
        FileExistsError: `directory` exists and is not empty.
    """
    if directory.is_dir() and any(directory.iterdir()):
        raise FileExistsError(f"{directory} exists and is not empty; give a new directory.")
    directory.parent.mkdir(parents=True, exist_ok=True)
    # Not by mkdtemp, which makes it private: the process's umask says who else may read an export.
    temporary = directory.parent / f"temp-{directory.name}-{secrets.token_hex(8)}"
    temporary.mkdir()
    try:
        yield temporary
        # A rename replaces an empty directory.
        temporary.rename(directory)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextmanager
def timestamped(base: str) -> Iterator[tuple[Path, Path]]:
    """Gives (temporary directory, final directory `base/<seconds since 1970>`), see `whole`.

    Exports within one second get following numbers: the name is taken by making the empty directory.
    """
    root = Path(base)
    root.mkdir(parents=True, exist_ok=True)
    final = _claim(root)
    try:
        with whole(final) as temporary:
            yield temporary, final
    except BaseException:
        # Only the empty directory that holds our name can be removed here.
        if final.is_dir() and not any(final.iterdir()):
            final.rmdir()
        raise


def export_directories(base: str) -> list[Path]:
    """The finished timestamped exports below `base`, oldest first."""
    root = Path(base)
    if not root.is_dir():
        return []
    numbered = [path for path in root.iterdir() if path.name.isdigit() and path.is_dir() and any(path.iterdir())]
    return sorted(numbered, key=lambda path: int(path.name))


def copy_assets_extra(directory: Path, assets_extra: Mapping[str, str] | None) -> None:
    """Copies each source file to its destination below `directory/assets.extra`.

    Args:
        assets_extra: destination path relative to `assets.extra`, file name included, to the source's full path.

    Raises:
        ValueError: a destination is absolute or leads out of `assets.extra`.
        FileNotFoundError: a source does not exist.
    """
    root = directory / ASSETS_EXTRA
    for destination, source in (assets_extra or {}).items():
        target = PurePosixPath(destination)
        if target.is_absolute() or ".." in target.parts or not target.parts or "\0" in destination:
            raise ValueError(
                f"assets_extra destination {destination!r} must be a relative path inside {ASSETS_EXTRA}, "
                "file name included."
            )
        path = root.joinpath(*target.parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)


def _claim(root: Path) -> Path:
    stamp = int(time.time())
    while True:
        candidate = root / str(stamp)
        try:
            candidate.mkdir()
        except FileExistsError:
            stamp += 1
        else:
            return candidate
