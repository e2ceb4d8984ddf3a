"""`GET …/metadata` from the registry's side: any version that has files, whether this process serves it or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.errors import NotFound
from app.registry.tables import Version as VersionRow
from app.serving.export_description import BadExport, read_export
from app.serving.metadata import metadata
from app.serving.serving_version import ServingVersion
from app.serving.wanted_version import WantedVersion


def read_metadata(directory: Path, row: VersionRow) -> dict[str, Any]:
    """TensorFlow Serving's metadata of the export in `directory`.

    Raises:
        NotFound: its description cannot be read.
    """
    version = ServingVersion(WantedVersion(row.model, row.number, str(directory), "", row.lineage_id), 0)
    try:
        version.export = read_export(directory)
    except BadExport as error:
        raise NotFound(f"The version's description cannot be read: {error}") from None
    return metadata(row.model, version)
