"""A directory as a tar archive that is sent while it is made."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from app.tar_stream import TarStream


def test_archive_has_the_told_length_and_every_file(tmp_path: Path) -> None:
    contents = {"saved_model.pb": b"", "variables/variables.index": b"x" * 512, "assets/" + "n" * 150: b"y" * 1300}
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)

    archive = TarStream(tmp_path, "penguins/3")
    data = b"".join(archive)

    assert len(data) == len(archive)
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        found = {member.name: opened.extractfile(member).read() for member in opened}  # type: ignore[union-attr]
    assert found == {f"penguins/3/{name}": content for name, content in contents.items()}


def test_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"content")
    (tmp_path / "two" / "file").chmod(0o600)

    assert b"".join(TarStream(tmp_path / "one", "m/1")) == b"".join(TarStream(tmp_path / "two", "m/1"))
