"""Labels that were just set: the answer comes when all who serve follow."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from app.host_table import HostTable
from app.label_flips import LabelFlips
from app.lanes.host_versions import HostVersions
from app.serving.split import Share
from app.serving.versions import Models
from tests.serving.test_models import load, want


def lanes(count: int) -> list[Models]:
    """Lanes that share a table, each with version 1 of the model `m` behind `latest`, revision 1."""
    table = HostTable.make(count)
    found = []
    for seat in range(count):
        own = HostTable(table.descriptor, count, seat)
        own.now_serves()
        models = Models()
        models.neighbours = HostVersions(own)
        set_label(models, 1, 1)
        found.append(models)
    return found


def set_label(models: Models, number: int, revision: int, **more: Any) -> None:
    """As a look at the registry does it: `latest` points to a version from now on, and both are in memory."""
    labels = {number: {"labels": ("latest",), "revisions": {"latest": revision}, **more}}
    models.sync(
        [want(one, *labels.get(one, {}).pop("labels", ()), previous=True, **labels.get(one, {})) for one in (1, 2)]
    )
    models.neighbours.tell(models)
    for one in (1, 2):
        if not models.versions["m", one].loaded:
            load(models, one)
    models.neighbours.tell(models)
    models.apply_labels()
    models.neighbours.tell(models)


def test_label_is_followed_when_every_lane_answers_by_it() -> None:
    first, second = lanes(2)
    for models in (first, second):
        models.apply_labels()
        models.neighbours.tell(models)
    assert first.follow("m", "latest", 1)
    set_label(first, 2, 2)
    assert (first.follow("m", "latest", 2), second.follow("m", "latest", 2)) == (False, False)
    set_label(second, 2, 2)
    assert (first.follow("m", "latest", 2), second.follow("m", "latest", 2)) == (True, True)
    set_label(second, 1, 3)  # later than what the first one waits for
    assert first.follow("m", "latest", 2)


def test_share_is_followed_when_its_canary_is_in_memory() -> None:
    models = Models()
    share = Share("latest", 2, canary=2, per_mille=500)
    models.sync([want(1, "latest", revisions={"latest": 2}, shares=(share,)), want(2)])
    load(models, 1)
    assert not models.follow("m", "latest", 2)
    load(models, 2)
    assert models.follow("m", "latest", 2)


def test_flip_waits_for_the_look_and_no_longer_than_its_patience() -> None:
    models = Models()
    models.sync([want(1, "latest", revisions={"latest": 1})])
    load(models, 1)

    async def look() -> None:
        models.sync([want(1, "latest", revisions={"latest": 2})])

    async def flips() -> tuple[bool, bool, bool]:
        serving: Any = SimpleNamespace(models=models, look_again=look)
        soon, never = LabelFlips(serving, patience_s=60), LabelFlips(serving, patience_s=0.01)
        return (
            await soon.followed("m", "latest", 2),
            await never.followed("m", "latest", 3),
            await LabelFlips().followed("m", "latest", 3),
        )

    assert asyncio.run(flips()) == (True, False, True)
