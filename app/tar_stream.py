"""A directory as a tar archive that is sent while it is made: its length is known before, no copy of it is."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = tarfile.BLOCKSIZE
_PART = 2**18


@dataclass(frozen=True)
class TarStream:
    """The regular files below `directory` in the order of their names, each as `prefix/name`, without owners or times,
    so that the same content gives the same bytes."""

    directory: Path
    prefix: str

    def _headers(self) -> Iterator[tuple[Path, int, bytes]]:
        for path in sorted(path for path in self.directory.rglob("*") if path.is_file()):
            info = tarfile.TarInfo(f"{self.prefix}/{path.relative_to(self.directory).as_posix()}")
            info.size = path.stat().st_size
            info.mode = 0o644
            yield path, info.size, info.tobuf(tarfile.PAX_FORMAT)

    def __len__(self) -> int:
        """Bytes of the archive."""
        return sum(len(header) + size + _padding(size) for _, size, header in self._headers()) + 2 * _BLOCK

    def __iter__(self) -> Iterator[bytes]:
        for path, size, header in self._headers():
            yield header
            with path.open("rb") as file:
                while part := file.read(_PART):
                    yield part
            yield b"\0" * _padding(size)
        yield b"\0" * (2 * _BLOCK)


def _padding(size: int) -> int:
    return -size % _BLOCK
