"""Files and directories that only the service's own user can reach. Imports nothing of ours.

A directory of mode 0700 keeps others from everything below it, whatever the modes there: they can neither read the
registry nor hold a lock on it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

UMASK = 0o077
_OTHERS = 0o077


class UnsafePath(Exception):
    """A directory that somebody else made or can change; the message says what to do."""


def only_for_us(*directories: Path) -> None:
    """From now on, whatever this process and its children make is for their user alone. For entry points only.

    Args:
        directories: made private. The process ends with a message where one is another user's: a socket in there would
            be that user's too.
    """
    os.umask(UMASK)
    for directory in directories:
        try:
            make_private(directory)
        except UnsafePath as error:
            raise SystemExit(str(error)) from None


def make_private(directory: Path) -> bool:
    """Makes a directory of mode 0700, parents too; one that is there and ours gets that mode. Symbolic links in its
    place are not followed. True: others could reach it before.

    Raises:
        UnsafePath: it belongs to another user, or it is no directory.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        pass
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        detail = f"{directory} is no directory of ours ({error.strerror}). Remove it, or choose another."
        raise UnsafePath(detail) from None
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise UnsafePath(f"{directory} belongs to another user (id {found.st_uid}). Remove it, or choose another.")
        if not found.st_mode & _OTHERS:
            return False
        os.fchmod(descriptor, 0o700)
        return True
    finally:
        os.close(descriptor)


def protect(directories: Iterable[Path], files: Iterable[Path]) -> list[str]:
    """Takes from others what they may do with directories and files that are there.

    Returns:
        A sentence for each that others could reach, or still can since it belongs to another user.
    """
    found = []
    for directory in directories:
        try:
            if make_private(directory):
                found.append(f"other users could reach {directory}; its mode is 0700 now")
        except UnsafePath as error:
            found.append(f"other users may reach what the service keeps: {error}")
    for file in files:
        try:
            state = file.lstat()
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(state.st_mode) or not state.st_mode & _OTHERS:
            continue
        if state.st_uid == os.geteuid():
            file.chmod(state.st_mode & 0o700)
            found.append(f"other users could open {file.name}; its mode is {state.st_mode & 0o700:04o} now")
        else:
            found.append(f"{file} belongs to another user, and others can open it")
    return found
