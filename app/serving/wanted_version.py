"""A version that serving is to hold, as the registry says."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.releases.keep import KeepPolicy
from app.serving.model_limits import AS_THE_SERVICE, ModelSettings
from app.serving.split import Share


@dataclass(frozen=True)
class WantedVersion:
    """A version as the registry has it.

    Attributes:
        path: the export's directory.
        digest: `app.digest.directory_digest` of it.
        labels: that point to it now.
        staged: not validated yet: it is loaded, warmed up and reported through `on_loaded` or `on_failed`.
        previous: had a label just before, or stands beside one: it is kept in memory.
        keep: which of its requests are kept; None: none.
        shares: how labels that point to it divide their requests.
        settings: of its model.
        revisions: of the labels.
    """

    model: str
    number: int
    path: str
    digest: str
    lineage_id: str
    labels: tuple[str, ...] | list[str] = ()
    staged: bool = False
    previous: bool = False
    shares: tuple[Share, ...] = ()
    keep: KeepPolicy | None = None
    settings: ModelSettings = AS_THE_SERVICE
    revisions: dict[str, int] = field(default_factory=dict)
