"""Archives of exports, unpacked: directories and plain files below the target only.

`tarfile`'s own filters came with Python 3.11.4, and Debian 12 has 3.11.2.
"""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path, PurePosixPath


def unpack(archive: tarfile.TarFile, directory: Path) -> None:
    """Writes the archive's files below `directory`, which is made where it is missing.

    Raises:
        ValueError: a member that is a link or a device, or whose name leads out of the directory. Nothing of it and of
            the members after it is written.
    """
    for member in archive:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
            raise ValueError(f"The archive holds {member.name!r}, which is no plain file below its directory.")
        target = directory / path
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        source = archive.extractfile(member)
        assert source is not None  # a plain file has content
        with source, target.open("wb") as file:
            shutil.copyfileobj(source, file)
