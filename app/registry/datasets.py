"""Data sets on record."""

from __future__ import annotations

import builtins
import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, union
from sqlalchemy.orm import Session

from app.errors import Conflict, NotFound
from app.ids import is_id, new_id
from app.registry.db import now, upsert
from app.registry.pagination import page
from app.registry.tables import Dataset, Export, JobLink, Version

_ENDINGS = re.compile(r"(\.(csv|jsonl|ndjson|json|parquet|tfrecords?|gz|zst))+$", re.IGNORECASE)


def name_of_file(filename: str) -> str:
    """What a data set is called whose upload gave a file and no name: as the file, without the endings that say its
    format. Every client leaves the name to this, so that the same file is found under one name whoever sent it."""
    return _ENDINGS.sub("", filename) or filename


class DatasetRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def add(
        self,
        *,
        name: str,
        digest: str,
        format: str,
        rows: int,
        bytes: int,
        columns: builtins.list[dict[str, Any]],
        path: str,
        created_by: str | None,
        dataset_id: str | None = None,
        warnings: Sequence[str] = (),
    ) -> Dataset:
        """Commits an ingested data set; the same digest again gives the row that is there (compare its `path` with
        yours: where it differs, your directory is to be removed).

        Args:
            digest: of content and schema.
            path: key of its directory in the artifact store.
            dataset_id: where the directory was named by it; `app.ids.new_id("ds")`.
        """
        statement = upsert(self.session, Dataset).values(
            id=dataset_id or new_id("ds"),
            name=name,
            digest=digest,
            format=format,
            rows=rows,
            bytes=bytes,
            columns=columns,
            warnings=[*warnings],
            path=path,
            created_at=now(),
            created_by=created_by,
        )
        self.session.execute(statement.on_conflict_do_nothing(index_elements=["digest"]))
        return self.session.scalars(select(Dataset).where(Dataset.digest == digest)).one()

    def get(self, dataset_id: str) -> Dataset:
        """A data set by its id.

        Raises:
            NotFound: no such data set.
        """
        row = self.session.get(Dataset, dataset_id)
        if row is None:
            raise NotFound("There is no data set of that id.")
        return row

    def find(self, dataset_id: str) -> Dataset | None:
        return self.session.get(Dataset, dataset_id)

    def named(self, reference: str, *, alone: bool = False) -> Dataset:
        """A data set by its id or name: the newest of that name. A file's name stands for the name without its
        endings, where no data set is called like the file.

        Args:
            alone: refuse a name that several data sets have.

        Raises:
            NotFound: there is none.
            Conflict: there are several; the message has their ids.
        """
        if is_id(reference, "ds"):
            return self.get(reference)
        rows = self._newest(reference, 5) or self._newest(name_of_file(reference), 5)
        if not rows:
            raise NotFound("There is no data set of that id or name.")
        if alone and len(rows) > 1:
            raise Conflict(f"Several data sets have this name. Give an id: {', '.join(row.id for row in rows)}.")
        return rows[0]

    def newest(self, name: str) -> Dataset | None:
        """The newest data set of a name, or of a file's name as `named` has it."""
        rows = self._newest(name, 1) or self._newest(name_of_file(name), 1)
        return rows[0] if rows else None

    def _newest(self, name: str, most: int) -> builtins.list[Dataset]:
        query = select(Dataset).where(Dataset.name == name).order_by(Dataset.created_at.desc(), Dataset.id.desc())
        return builtins.list(self.session.scalars(query.limit(most)))

    def find_by_digest(self, digest: str) -> Dataset | None:
        return self.session.scalar(select(Dataset).where(Dataset.digest == digest))

    def list(self, *, page_size: int = 50, after: str | None = None) -> tuple[builtins.list[Dataset], str | None]:
        """A page, newest first, and the cursor of the next.

        Raises:
            InvalidInput: `after` is no cursor of this list.
        """
        return page(self.session, select(Dataset), [Dataset.created_at, Dataset.id], page_size=page_size, after=after)

    def versions_of(self, dataset_id: str, *, limit: int = 100) -> builtins.list[Version]:
        """The versions whose training or export job names the data set, newest first."""
        makers = select(JobLink.job_id).where(JobLink.target_id == dataset_id)
        # a union, for each half has an index; a condition with OR would read the whole table
        made = union(
            select(Export.id).where(Export.job_id.in_(makers)), select(Export.id).where(Export.train_job_id.in_(makers))
        )
        query = select(Version).where(Version.export_id.in_(made))
        return list(
            self.session.scalars(
                query.order_by(Version.created_at.desc(), Version.model, Version.number.desc()).limit(limit)
            )
        )
