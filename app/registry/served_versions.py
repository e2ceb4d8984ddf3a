"""Versions that serving should hold now: read every fraction of a second, so two small queries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import or_, select, tuple_
from sqlalchemy.orm import Session

from app.jobs.state import VersionState
from app.registry.tables import Export, Label, Model, Version


@dataclass(frozen=True)
class ServedShare:
    """How a label that points to a version divides its requests (`app.registry.models.Division`).

    Attributes:
        revision: of the label.
    """

    label: str
    revision: int
    canary: int | None
    per_mille: int | None
    split_by: str | None
    shadow: int | None


@dataclass(frozen=True)
class ServedVersion:
    """A version to be held: labelled, labelled just before (kept for a quick way back), beside one that is, or STAGED.

    `path` is the export's key in the artifact store, `digest` that of its directory; `labels` point to it now,
    and have `revisions`.
    """

    model: str
    number: int
    path: str
    digest: str
    lineage_id: str
    staged: bool
    labels: list[str] = field(default_factory=list)
    previous: bool = False
    shares: list[ServedShare] = field(default_factory=list)
    keep: dict[str, Any] | None = None
    serving: dict[str, Any] | None = None
    revisions: dict[str, int] = field(default_factory=dict)


class ServedVersionRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def wanted(self, *, available: bool = False) -> list[ServedVersion]:
        """All of them, by model and number.

        Args:
            available: also every other AVAILABLE version: one may be asked for by its number.
        """
        labels: dict[tuple[str, int], dict[str, int]] = {}
        shares: dict[tuple[str, int], list[ServedShare]] = {}
        keys: set[tuple[str, int]] = set()
        columns = select(
            Label.model, Label.label, Label.version, Label.previous,
            Label.revision, Label.canary, Label.per_mille, Label.split_by, Label.shadow,
        )  # fmt: skip
        for row in self.session.execute(columns.order_by(Label.model, Label.label)):
            model, label, version, previous, revision, canary, per_mille, split_by, shadow = row
            labels.setdefault((model, version), {})[label] = revision
            keys |= {(model, number) for number in (version, previous, canary, shadow) if number is not None}
            if canary is not None or shadow is not None:
                share = ServedShare(label, revision, canary, per_mille, split_by, shadow)
                shares.setdefault((model, version), []).append(share)
        chosen = [Version.state == VersionState.STAGED]
        if available:
            chosen.append(Version.state == VersionState.AVAILABLE)
        if keys:
            chosen.append(tuple_(Version.model, Version.number).in_(sorted(keys)))
        query = (
            select(
                Version.model,
                Version.number,
                Export.path,
                Export.digest,
                Version.lineage_id,
                Version.state,
                Model.keep,
                Model.serving,
            )
            .join(Export, Export.id == Version.export_id)
            .join(Model, Model.name == Version.model)
            .where(or_(*chosen))
            .order_by(Version.model, Version.number)
        )
        return [
            ServedVersion(
                model=row.model,
                number=row.number,
                path=row.path,
                digest=row.digest,
                lineage_id=row.lineage_id,
                staged=row.state == VersionState.STAGED,
                labels=list(labels.get((row.model, row.number), ())),
                previous=(row.model, row.number) in keys and (row.model, row.number) not in labels,
                shares=shares.get((row.model, row.number), []),
                keep=row.keep,
                serving=row.serving,
                revisions=labels.get((row.model, row.number), {}),
            )
            for row in self.session.execute(query)
        ]
