from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from estimator_client.archive import unpack


def archive(*members: tarfile.TarInfo) -> tarfile.TarFile:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as made:
        for member in members:
            content = b"x" * member.size
            made.addfile(member, io.BytesIO(content))
    raw.seek(0)
    return tarfile.open(fileobj=raw)


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.size, made.linkname = kind, size, "/etc/passwd"
    return made


def test_files_and_directories_are_written(tmp_path: Path) -> None:
    with archive(member("m/1", tarfile.DIRTYPE), member("m/1/saved_model.pb", size=3), member("m/1/a/b", size=1)) as a:
        unpack(a, tmp_path / "new")
    assert (tmp_path / "new/m/1/saved_model.pb").read_bytes() == b"xxx"
    assert (tmp_path / "new/m/1/a/b").read_bytes() == b"x"


@pytest.mark.parametrize(
    "bad",
    [member("/etc/x"), member("m/../../x"), member("link", tarfile.SYMTYPE), member("link", tarfile.LNKTYPE)],
    ids=["absolute", "above", "symbolic", "hard"],
)
def test_members_that_lead_out_are_refused(tmp_path: Path, bad: tarfile.TarInfo) -> None:
    with archive(bad) as a, pytest.raises(ValueError, match="plain file below"):
        unpack(a, tmp_path / "new")
    assert not list(tmp_path.glob("**/*x"))
