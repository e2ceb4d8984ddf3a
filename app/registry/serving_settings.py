"""Serving settings of one model, where they differ from the service's."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import Conflict, PreconditionFailed
from app.registry.audit import AuditRepository
from app.registry.models import ModelRepository
from app.registry.tables import Export, Label, Model, Version


class ServingSettingsRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def put(
        self, model: str, settings: dict[str, Any], expected_revision: int | None = None, token_id: str | None = None
    ) -> Model:
        """Takes the place of what was set before; writes the audit row.

        Args:
            settings: those of `ModelSettings` that are set.
            expected_revision: the one that the caller saw (If-Match).

        Raises:
            NotFound: no such model.
            Conflict: a version that a label points to takes more memory than is allowed.
            PreconditionFailed: somebody else changed the settings first.
        """
        models = ModelRepository(self.session)
        models.lock(model)
        row = models.get(model)
        self.session.refresh(row)
        if expected_revision is not None and expected_revision != row.serving_revision:
            raise PreconditionFailed(
                f"The settings were changed by another request: their revision is {row.serving_revision} now."
            )
        if (most := settings.get("memory_bytes")) is not None:
            self._check_memory(model, most)
        row.serving = settings or None
        row.serving_revision += 1
        self.session.flush()
        AuditRepository(self.session).add(token_id, "model.serving", model, settings)
        return row

    def _check_memory(self, model: str, most: int) -> None:
        """Raises Conflict: a limit that would have refused a version that answers was meant otherwise."""
        labels = select(Label).where(Label.model == model)
        served = {
            number
            for label in self.session.scalars(labels)
            for number in (label.version, label.canary, label.shadow)
            if number is not None
        }
        sizes = select(Version.number, Export.bytes).join(Export, Export.id == Version.export_id)
        found = sizes.where(Version.model == model, Version.number.in_(sorted(served)), Export.bytes > most)
        largest = self.session.execute(found.order_by(Export.bytes.desc(), Version.number).limit(1)).first()
        if largest is not None:
            raise Conflict(
                f"Version {largest.number}, which a label points to, needs {largest.bytes} bytes of memory; "
                "memory_bytes must be at least that, or the label has to move first."
            )
