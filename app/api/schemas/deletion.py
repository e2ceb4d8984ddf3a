"""Bodies of deletions: what one would remove."""

from __future__ import annotations

from pydantic import Field

from app.api.schemas.view import View
from app.registry.deletion import Deletion


class NeedView(View):
    """A thing that needs what is to be deleted."""

    kind: str = Field(description="job version label release")
    id: str = Field(description="Of the job or release; `MODEL/VERSION` of a version, `MODEL/LABEL` of a label.")
    why: str = Field(description="Why it is needed, and what to remove first.")


class DeletionView(View):
    """A deletion that was asked for with `dry_run`."""

    kind: str = Field(description="dataset job export model version label")
    id: str
    removes: dict[str, int] = Field(
        description="Number of things of each kind that are removed.", examples=[{"jobs": 1}]
    )
    bytes: int = Field(description="Size in bytes of the files that are removed afterwards.")
    needed_by: list[NeedView] = Field(description="At most 100 things that need it; empty: it can be deleted.")

    @classmethod
    def of(cls, deletion: Deletion) -> DeletionView:
        needs = [NeedView(kind=need.kind, id=need.id, why=need.why) for need in deletion.needed_by]
        return cls(kind=deletion.kind, id=deletion.id, removes=deletion.removes, bytes=deletion.bytes, needed_by=needs)
