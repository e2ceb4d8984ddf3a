"""The list of an artifact's files: an object of its own, written last, never replaced. Without it there is nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.digest import digest_of, file_hash
from app.errors import InvalidInput, NotFound

_FORMAT = 1


def manifest_path(key: str) -> str:
    """Of the manifest's object."""
    return f"manifests/{key}"


@dataclass(frozen=True)
class StoredFile:
    """A file of an artifact. `name`: what follows the artifact's key in the file's: `/a/b` in a directory, `.index` of
    a checkpoint, empty for a file that is the artifact."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """An artifact's files. `id` is drawn when it is written, so that two manifests are never equal."""

    id: str
    files: tuple[StoredFile, ...]

    @property
    def size(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def digest(self) -> str:
        """As `Storage.digest` of the artifact."""
        return digest_of((file.name.removeprefix("/"), bytes.fromhex(file.sha256)) for file in self.files)

    def encode(self) -> bytes:
        files = [vars(file) for file in self.files]
        return json.dumps({"format": _FORMAT, "id": self.id, "files": files}).encode()

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """Raises NotFound: it is of a later release, or damaged."""
        try:
            content: Any = json.loads(data)
            if content["format"] != _FORMAT:
                raise NotFound("The artifact was written by a later release of the service.")
            return cls(content["id"], tuple(StoredFile(**file) for file in content["files"]))
        except (ValueError, KeyError, TypeError):
            raise NotFound("The artifact's manifest is damaged.") from None

    @classmethod
    def of(cls, files: Mapping[str, Path]) -> Manifest:
        """Of files on this host, by name. Raises InvalidInput for a name that no manifest may hold."""
        if any(".." in name.split("/") for name in files):
            raise InvalidInput("A file's name leads out of its artifact.")
        stored = [StoredFile(name, file.stat().st_size, file_hash(file).hex()) for name, file in files.items()]
        return cls(os.urandom(8).hex(), tuple(sorted(stored, key=lambda file: file.name)))
