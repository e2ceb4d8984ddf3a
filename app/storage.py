"""The artifact store: data sets, what attempts write, exports, predictions. Keys are made by the server, never by a
client, and yet none is opened that leads outside the root.

    datasets/<id>/            a data set's columns
    jobs/<job>/<attempt>/     model_dir of one attempt: checkpoints, event files, log.txt
    exports/<id>/             a SavedModel
    predictions/<job>/        the result of a batch predict

A directory means nothing until a row of the registry points to it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from app.digest import files_digest
from app.errors import Conflict, InvalidInput, NotFound
from app.ids import is_id

_NO_ADDRESSES = "This service keeps its artifacts in no object store: there are no addresses to load them from or to."
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


def remove_tree(path: Path) -> None:
    """Removes a file or directory, if there is one; a directory is renamed first, so none is ever seen half removed."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    doomed = path.with_name(f".removing-{path.name}-{os.urandom(4).hex()}")
    try:
        path.rename(doomed)
    except FileNotFoundError:
        return
    shutil.rmtree(doomed, ignore_errors=True)


class Holding:
    """Files of an artifact that stay where they are until `release` is called.

    Args:
        path: of the artifact.
    """

    def __init__(self, path: Path, release: Callable[[], None] = lambda: None) -> None:
        self.path = path
        self._release: Callable[[], None] | None = release

    def release(self) -> None:
        """May be called again."""
        release, self._release = self._release, None
        if release is not None:
            release()


class SignedFile(NamedTuple):
    """A file of an artifact, and an address from which anybody may download it for a while. `name`: in the artifact."""

    name: str
    bytes: int
    sha256: str
    address: str


class Storage:
    """Artifacts under one root, a directory that all hosts share (a local path, or a mounted file system: TensorFlow
    writes checkpoints by path and renames them).

    Whoever writes, writes at `path(key)`, then calls `publish(key)`; whoever reads, reads under `hold(key)` or
    `reading(key)`. Here these do nothing; `app.object_store` sends and fetches with them.
    """

    remote = False
    """Whether artifacts are kept elsewhere than at their paths."""

    def __init__(self, root: str | Path) -> None:
        """Opens the store below `root`, which is created if it is missing.

        Raises:
            InvalidInput: `root` is no path of this machine.
        """
        text = str(root).removeprefix("file://")
        if "://" in text or not text:
            raise InvalidInput("ARTIFACTS_URL must be a path, or begin with s3://, gs:// or az:// and a bucket.")
        self.root = Path(text).resolve()
        self.root.mkdir(parents=True, exist_ok=True)

    @staticmethod
    def dataset_key(dataset_id: str) -> str:
        return f"datasets/{_checked(dataset_id, 'ds')}"

    @staticmethod
    def attempt_key(job_id: str, attempt: int) -> str:
        return f"jobs/{_checked(job_id, 'job')}/{int(attempt)}"

    @staticmethod
    def export_key(export_id: str) -> str:
        return f"exports/{_checked(export_id, 'exp')}"

    @staticmethod
    def upload_key(upload_id: str) -> str:
        return f"uploads/{_checked(upload_id, 'upl')}"

    @staticmethod
    def prediction_key(job_id: str) -> str:
        return f"predictions/{_checked(job_id, 'job')}"

    def path(self, key: str) -> Path:
        """Where an artifact is, or will be. Nothing is made.

        Raises:
            InvalidInput: the key is not one of ours, or a symbolic link stands in its way.
        """
        parts = key.split("/")
        if not all(_PART.fullmatch(part) for part in parts):
            raise InvalidInput("That is no key of an artifact.")
        path = self.root.joinpath(*parts)
        if path.resolve() != path:  # the root is resolved: any difference is a link below it
            raise InvalidInput("A symbolic link stands in the artifact store.")
        return path

    def key(self, path: str | Path) -> str:
        """The key of a path under the root (a checkpoint's prefix need not exist itself).

        Raises:
            InvalidInput: it is not under the root.
        """
        plain = Path(os.path.abspath(path))  # noqa: PTH100  # links are judged by `self.path`
        for candidate in (plain, plain.resolve()):
            if candidate.is_relative_to(self.root):
                key = candidate.relative_to(self.root).as_posix()
                self.path(key)
                return key
        raise InvalidInput("That path is not in the artifact store.")

    def check(self) -> None:
        """Looks whether the store can be used.

        Raises:
            InvalidInput: it lacks what is needed; `detail` is for the operator.
            Unavailable: it does not answer.
        """

    def publish(self, key: str) -> None:
        """Makes what was written at `path(key)` readable on all hosts: a file, a directory, or the files whose names
        begin with the key and a dot (a checkpoint). It never changes afterwards.

        Raises:
            NotFound: nothing was written.
            Conflict: the key was published already.
            Unavailable: the store does not answer.
        """

    def mirror(self, key: str) -> None:
        """Makes a file that still grows readable on all hosts as it is now. Raises Unavailable."""

    def hold(self, key: str, digest: str | None = None) -> Holding:
        """Has an artifact here, and keeps it until the lease is released.

        Args:
            digest: `digest(key)` of what is meant, where it is known.

        Raises:
            NotFound: it is not in the store, is another one, or is damaged there; with a path, the reader finds out.
            Unavailable: the store does not answer.
        """
        return Holding(self.path(key))

    @contextlib.contextmanager
    def reading(self, key: str, digest: str | None = None) -> Iterator[Path]:
        """As `hold`: the path, while it is read."""
        lease = self.hold(key, digest)
        try:
            yield lease.path
        finally:
            lease.release()

    def occupy(self, key: str) -> Holding:
        """Keeps a directory that is being written here."""
        return Holding(self.path(key))

    def signed(self, key: str, digest: str, valid_s: float) -> list[SignedFile]:
        """The files of a directory, to be downloaded from the store itself.

        Raises:
            Conflict: the store has no addresses.
            NotFound: it is not in the store, or is another one.
            Unavailable: the store does not answer.
        """
        raise Conflict(_NO_ADDRESSES)

    def upload_address(self, upload_id: str, valid_s: float) -> str:
        """Where anybody may put one file by HTTP's PUT for a while. Raises Conflict as `signed`."""
        raise Conflict(_NO_ADDRESSES)

    def take_upload(self, upload_id: str, file: Path, most_bytes: int) -> str:
        """Copies what came there into `file`, which must not be there yet; its SHA-256 in hexadecimal digits.

        Raises:
            NotFound: nothing came.
            TooLarge: it has more than `most_bytes`.
            Conflict, Unavailable: as `signed`.
        """
        raise Conflict(_NO_ADDRESSES)

    def drop(self, key: str) -> None:
        """Removes what was made here and never published."""
        self.remove(key)

    def discard(self, key: str) -> None:
        """Removes what no row needs. Where the store does not answer, the reconciler does it later."""
        self.remove(key)

    def log_keys(self, job_id: str, attempt: int, seats: int = 1) -> list[str]:
        """Of the logs of an attempt, that of each worker that took part; workers of one host may share one."""
        return [f"{self.attempt_key(job_id, attempt)}/log.txt"]

    def read_end(self, key: str, limit: int) -> bytes | None:
        """The last bytes of a file, also of one that still grows; None where it is not there. Raises Unavailable."""
        try:
            with self.path(key).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - limit))
                return file.read(limit)
        except FileNotFoundError:
            return None

    def exists(self, key: str) -> bool:
        return self.path(key).exists()

    def make(self, key: str) -> Path:
        """Makes an empty directory of that key, and its parents.

        Raises:
            FileExistsError: it is there already.
        """
        path = self.path(key)
        path.mkdir(parents=True)
        return path

    def remove(self, key: str) -> None:
        """Removes a file or a directory with all that is in it; links in it are removed, not followed. Nothing there
        is no error. A directory is renamed first, so that none is ever seen half removed."""
        remove_tree(self.path(key))

    def size(self, key: str) -> int:
        """Bytes of a file, or of all files of a directory.

        Raises:
            NotFound: nothing is there.
        """
        return sum(file.stat().st_size for _, file in self._files(key))

    def stored_bytes(self, key: str) -> int:
        """Bytes in the store of whatever is under a key, whole or half written: a file, all files of a directory, the
        files whose names begin with the key and a dot. Nothing there is 0, and links count nothing. A file that two
        attempts share counts in each."""
        path = self.path(key)
        return sum(bytes_below(one) for one in (path, *path.parent.glob(f"{path.name}.*")))

    def digest(self, key: str) -> str:
        """`sha256:` and the hash of a file, or of a directory: over each file's relative name and content, by name.
        Equal directories have equal digests wherever they are; times and modes do not count.

        Raises:
            NotFound: nothing is there.
            InvalidInput: a link or device is in the directory.
        """
        return files_digest(self._files(key))

    def remove_files(self, key: str) -> None:
        """Removes the files whose names begin with the key and a dot (a checkpoint), its index first: without it the
        rest is no checkpoint. Missing files are no error."""
        path = self.path(key)
        path.with_name(path.name + ".index").unlink(missing_ok=True)
        for file in path.parent.glob(path.name + ".*"):
            file.unlink(missing_ok=True)

    def names(self, key: str) -> list[str]:
        """Names of the files directly in a directory."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(path.name for path in self.path(key).iterdir() if path.is_file())
        return []

    def keys(self, prefix: str) -> list[str]:
        """The keys directly under a directory, sorted; none where there is no such directory. What `remove` did not
        finish is finished here."""
        folder = self.path(prefix)
        if not folder.is_dir():
            return []
        found = []
        for entry in sorted(folder.iterdir()):
            if entry.name.startswith(".removing-"):
                shutil.rmtree(entry, ignore_errors=True)
            elif _PART.fullmatch(entry.name) and not entry.is_symlink():
                found.append(f"{prefix}/{entry.name}")
        return found

    def found(self, prefix: str, depth: int = 1) -> Iterator[tuple[str, float]]:
        """The keys so many levels below a directory, by name, each with the time of the last change directly in it, in
        seconds since 1970 by the store's clock."""
        for key in self.keys(prefix):
            if depth > 1:
                yield from self.found(key, depth - 1)
            else:
                with contextlib.suppress(FileNotFoundError):
                    yield key, self.path(key).stat().st_mtime

    def touch(self, key: str) -> None:
        """Marks the artifact as in use (see `quiet`). A missing artifact is not an error."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.path(key))

    def quiet(self, key: str, now: float) -> float:
        """Seconds since anything in it was changed, at any depth: a file that grows does not change its directory.

        Raises:
            NotFound: nothing is there.
        """
        path = self.path(key)
        try:
            return now - max(entry.lstat().st_mtime for entry in (path, *path.rglob("*")))
        except FileNotFoundError:
            raise NotFound("There is no such artifact, or it is being removed.") from None

    def _files(self, key: str) -> Iterator[tuple[str, Path]]:
        """Relative name and path of each regular file."""
        top = self.path(key)
        if top.is_file():
            yield "", top
            return
        if not top.is_dir():
            raise NotFound("There is no such artifact.")
        for folder, folders, names in os.walk(top):
            for name in [*folders, *names]:
                file = Path(folder, name)
                mode = file.lstat().st_mode
                if stat.S_ISREG(mode):
                    yield file.relative_to(top).as_posix(), file
                elif not stat.S_ISDIR(mode):
                    raise InvalidInput("The artifact holds something that is neither a file nor a directory.")


def bytes_below(path: Path) -> int:
    """Of a file, or of all files below a directory; what goes meanwhile is not counted."""
    total = 0
    below = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    for file in itertools.chain([path], below):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found = file.lstat()
            total += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return total


def _checked(identifier: str, prefix: str) -> str:
    if not is_id(identifier, prefix):
        raise InvalidInput(f"That is no identifier of the form {prefix}_….")
    return identifier
