"""An export's description and size, read before it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.serving.decode import Decoder
from app.serving.export_description import BadExport, ExportDescription, read_export


@dataclass(frozen=True)
class Description:
    """`decoder` of its requests; `bytes` of all its files."""

    export: ExportDescription
    decoder: Decoder
    bytes: int


def read_description(path: str, max_rows: int) -> Description:
    """Raises BadExport."""
    export = read_export(path)
    size = sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())
    try:
        return Description(export, Decoder(export, max_rows=max_rows), size)
    except (ValueError, TypeError, KeyError) as error:  # this version can't serve; the others go on
        raise BadExport(f"The export's description can't be used: {error}") from error
