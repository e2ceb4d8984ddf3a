"""Digests of stored files: computed for the registry by `app.storage`, and checked in the predictor process before
each load."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path


def files_digest(files: Iterable[tuple[str, Path]]) -> str:
    """`sha256:` and the hash over each file's name and the hash of its content, by name.

    A name has its length in front, so that no two lists of names and contents read the same. Raises OSError when a
    file cannot be read.
    """
    return digest_of((name, file_hash(file)) for name, file in files)


def file_hash(file: Path) -> bytes:
    """SHA-256 of a file's content. Raises OSError when it cannot be read."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()


def digest_of(hashes: Iterable[tuple[str, bytes]]) -> str:
    """As `files_digest`, of names and the hashes of their contents."""
    whole = hashlib.sha256()
    for name, content in sorted(hashes, key=lambda item: item[0].encode()):
        data = name.encode()
        whole.update(len(data).to_bytes(8, "big") + data + content)
    return "sha256:" + whole.hexdigest()


def directory_digest(directory: str | Path) -> str:
    """`sha256:` and the hash over each file's relative name and the hash of its content, by name.

    Raises OSError when a file cannot be read, and ValueError for a link, a device or the like.
    """
    return files_digest(_files(Path(directory)))


def _files(top: Path) -> list[tuple[str, Path]]:
    found = []
    for folder, folders, names in os.walk(top):
        for name in [*folders, *names]:
            file = Path(folder, name)
            mode = file.lstat().st_mode
            if stat.S_ISREG(mode):
                found.append((file.relative_to(top).as_posix(), file))
            elif not stat.S_ISDIR(mode):
                raise ValueError("An export holds plain files and directories only.")
    return found
