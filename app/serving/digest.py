"""The digest of an export's directory: it stands in the registry and is checked before each load."""

from __future__ import annotations

import hashlib
from pathlib import Path

_PIECE = 2**20


def directory_digest(directory: str | Path) -> str:
    """`sha256:` and the SHA-256 over name, size and content of each file, in the order of their names.

    Raises OSError when a file cannot be read, and ValueError for anything that is neither file nor directory.
    """
    root = Path(directory)
    whole = hashlib.sha256()
    for path in sorted(root.rglob("*"), key=lambda path: path.relative_to(root).as_posix()):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ValueError("An export holds plain files and directories only.")
        if path.is_file():
            name = path.relative_to(root).as_posix().encode()
            whole.update(b"%d:%b%d:" % (len(name), name, path.stat().st_size))
            with path.open("rb") as file:
                while piece := file.read(_PIECE):
                    whole.update(piece)
    return "sha256:" + whole.hexdigest()
