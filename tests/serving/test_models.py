"""Which version a label means, what is loaded next, and what has to go."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import Conflict, NotFound
from app.serving.decode import Decoder
from app.serving.description import Description
from app.serving.export_description import ExportDescription, InputFeature, Output, Signature
from app.serving.serving_version import RETRY_S, ServingVersion
from app.serving.version_queue import VersionQueue
from app.serving.versions import UNUSED_S, Models
from app.serving.wanted_version import WantedVersion
from tests.fakes import ManualClock

EXPORT = ExportDescription(
    format=1,
    features=[InputFeature("x", "float32")],
    signatures={"serving_default": Signature("predict", [Output("y", "f")])},
)


def want(number: int, *labels: str, model: str = "m", **more: Any) -> WantedVersion:
    return WantedVersion(model, number, f"/exports/{number}", f"sha256:{number}", f"ver_{number}", labels, **more)


def load(models: Models, number: int, model: str = "m") -> ServingVersion:
    """As the service does it, without a process."""
    version = models.versions[model, number]
    version.describe(Description(EXPORT, Decoder(EXPORT, max_rows=10), 100))
    assert isinstance(version.queue, VersionQueue)
    version.queue.key = version.key
    version.due = False
    models.apply_labels()
    return version


def serving(models: Models, label: str = "latest") -> int | None:
    version = models.labelled("m", label)
    return None if version is None else version.wanted.number


def test_label_moves_only_when_its_new_version_is_loaded() -> None:
    models = Models()
    models.sync([want(1, "latest")])
    load(models, 1)
    models.sync([want(1), want(2, "latest")])
    assert serving(models) == 1
    load(models, 2)
    assert serving(models) == 2


def test_failed_new_version_leaves_the_label_where_it_is() -> None:
    models = Models()
    models.sync([want(1, "latest")])
    load(models, 1)
    models.sync([want(1), want(2, "latest")])
    models.versions["m", 2].failed("broken")
    models.apply_labels()
    assert serving(models) == 1


def test_removed_version_gives_its_label_up_at_once() -> None:
    models = Models()
    models.sync([want(1, "latest")])
    load(models, 1)
    models.sync([want(2, "latest")])
    assert serving(models) == 2
    assert [version.wanted.number for version in models.gone] == [1]


def test_same_state_again_changes_nothing() -> None:
    models = Models()
    assert models.sync([want(1, "latest")])
    assert not models.sync([want(1, "latest")])


def test_unknown_names_are_not_found_and_a_model_on_its_way_is() -> None:
    models = Models()
    models.sync([want(1, staged=True), want(3, model="other")])
    assert models.find("m", None, None) is None
    for model, number, label in (("no", None, None), ("m", 2, None), ("other", None, "latest"), ("no", 1, None)):
        with pytest.raises(NotFound):
            models.find(model, number, label)


def test_version_that_cannot_be_loaded_is_a_conflict() -> None:
    models = Models()
    models.sync([want(1, "latest")])
    models.versions["m", 1].failed("too large")
    with pytest.raises(Conflict, match="too large"):
        models.find("m", None, None)


def test_labelled_versions_are_loaded_before_staged_ones_and_others_not_at_all() -> None:
    models = Models()
    models.sync([want(1), want(2, staged=True), want(3, "latest")])
    order = []
    while (version := models.to_load(unvalidated=True)) is not None:
        order.append(version.wanted.number)
        load(models, version.wanted.number)
    assert order == [3, 2]


def test_staged_version_waits_for_its_proof_while_others_serve() -> None:
    models = Models()
    models.sync([want(1, "latest"), want(2, staged=True)])
    assert models.next_to_validate() is None
    load(models, 1)
    assert models.to_load(unvalidated=False) is None
    version = models.next_to_validate()
    assert version is not None and version.wanted.number == 2
    version.validated = True
    assert models.to_load(unvalidated=False) is version


def test_previous_version_stays_and_older_ones_go() -> None:
    clock = ManualClock(0.0)
    models = Models(clock=clock)
    models.sync([want(1, "latest")])
    load(models, 1)
    models.sync([want(1), want(2, "latest")])
    load(models, 2)
    assert models.to_unload() is None
    models.sync([want(1), want(2), want(3, "latest")])
    load(models, 3)
    clock.advance(UNUSED_S)
    assert models.to_unload() is None
    clock.advance(0.1)
    gone = models.to_unload()
    assert gone is not None and gone.wanted.number == 1


def test_eviction_takes_the_least_recently_used_and_spares_labels() -> None:
    models = Models()
    models.sync([want(1, "a"), want(2, "b"), want(3)])
    for number, used in ((1, 5.0), (2, 3.0), (3, 9.0)):
        queue = load(models, number).queue
        assert queue is not None
        queue.last_used = used
    order = []
    while (version := models.to_evict()) is not None:
        order.append(version.wanted.number)
        assert version.queue is not None
        version.queue.key = None
    assert order == [3, 2, 1]


def test_available_version_that_a_label_begins_to_need_is_loaded() -> None:
    models = Models()
    models.sync([want(1, "latest"), want(2)])
    load(models, 1)
    assert models.to_load(unvalidated=True) is None
    models.sync([want(1, "latest"), want(2, previous=True)])
    assert models.to_load(unvalidated=True) is models.versions["m", 2]


def test_failed_load_is_tried_again_after_a_pause() -> None:
    clock = ManualClock()
    models = Models(clock=clock)
    models.sync([want(1, "latest")])
    version = models.versions["m", 1]
    version.failed("broken")
    clock.advance(RETRY_S - 0.1)
    assert models.to_load(unvalidated=True) is None
    clock.advance(0.1)
    assert models.to_load(unvalidated=True) is version


def test_version_that_was_asked_for_by_number_is_kept_for_a_while() -> None:
    clock = ManualClock()
    models = Models(clock=clock)
    models.sync([want(1, "latest"), want(2)])
    load(models, 1)
    load(models, 2)
    assert models.find("m", 2, None) is models.versions["m", 2]
    clock.advance(UNUSED_S)
    assert models.to_unload() is None
    models.find("m", 2, None)
    clock.advance(UNUSED_S)
    assert models.to_unload() is None
    clock.advance(0.1)
    assert models.to_unload() is models.versions["m", 2]
