"""Files of an attempt: checkpoints adopted from the one before, and removal."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path


def adopt_checkpoint(prefix: Path, directory: Path, size: int) -> Path:
    """Adds a checkpoint of another attempt to `directory`, as its latest. Files are hard-linked, or copied where the
    file system cannot: the other attempt's directory is never written.

    Args:
        size: bytes of all its files when it was recorded.

    Returns:
        its prefix in `directory`.

    Raises:
        FileNotFoundError: its files are gone, or have changed.
    """
    files = sorted(prefix.parent.glob(prefix.name + ".*"))
    if prefix.name + ".index" not in {file.name for file in files} or sum(f.stat().st_size for f in files) != size:
        raise FileNotFoundError("The checkpoint's files are gone or damaged.")
    for file in files:
        target = directory / file.name
        target.unlink(missing_ok=True)
        try:
            os.link(file, target)
        except OSError:
            shutil.copy2(file, target)
    temporary = directory / ".checkpoint"
    temporary.write_text(f'model_checkpoint_path: "{prefix.name}"\nall_model_checkpoint_paths: "{prefix.name}"\n')
    temporary.replace(directory / "checkpoint")
    return directory / prefix.name


def clear(directory: Path) -> None:
    """Removes a directory of temporary files."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(directory)
