"""Reports of conversions of versions for ONNX Runtime: written by the process that converts, read by the API and by
predictors."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

REPORT = "report.json"
FORMAT = 1
"""Raised when conversions are made or compared in another way: older ones are made anew then."""


class OnnxFile(msgspec.Struct, frozen=True):
    """A signature's model: `name` beside the report, and the SHA-256 of its bytes."""

    name: str
    sha256: str


class OnnxReport(msgspec.Struct, frozen=True):
    """What came of a version's signatures.

    Attributes:
        files: of the signatures that ONNX Runtime answers as TensorFlow does.
        reasons: of all others, why not, for a person.
    """

    files: dict[str, OnnxFile] = {}
    reasons: dict[str, str] = {}

    @classmethod
    def read(cls, directory: Path) -> OnnxReport:
        """Raises OSError, ValueError."""
        return msgspec.json.decode((directory / REPORT).read_bytes(), type=cls)

    def size(self, directory: Path) -> int:
        """Bytes of its files. Raises OSError."""
        return sum((directory / file.name).stat().st_size for file in self.files.values())

    def write(self, directory: Path) -> None:
        """The report comes last: a directory that has one is whole."""
        (directory / REPORT).write_bytes(msgspec.json.encode(self))


def checked_bytes(directory: Path, file: OnnxFile) -> bytes:
    """A model's bytes. Raises OSError, and ValueError when they are not those that were written."""
    content = (directory / file.name).read_bytes()
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise ValueError(f"{file.name} is not what was written.")
    return content
