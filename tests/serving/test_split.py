"""Which version of a divided label answers a request, and what is counted of each."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from app.releases.counts import Counts, bucket_of, upper_bound
from app.serving.metrics import VersionMetrics
from app.serving.serving_version import ServingVersion
from app.serving.split import Arm, Share, Split
from app.serving.versions import Models
from tests.serving.test_models import load, want

CHI_SQUARE_1 = 10.83
"""One degree of freedom: one sound sample in a thousand is above."""


@pytest.fixture(autouse=True)
def draws_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Later tests draw by accident again."""
    monkeypatch.setattr(Split, "draws", Split.draws)


def divided(per_mille: int = 50, *, seed: int = 1, loaded: tuple[int, ...] = (1, 2), **share: object) -> Models:
    """Version 1 behind `latest`, version 2 its canary."""
    Split.draws = random.Random(seed)
    models = Models()
    known = Share("latest", 1, canary=2, per_mille=per_mille, **share)  # type: ignore[arg-type]
    models.sync([want(1, "latest", shares=(known,)), want(2, previous=True)])
    for number in loaded:
        load(models, number)
    return models


def asked(models: Models, key: str | None = None, header: bytes = b"x-request-key") -> int:
    version = models.find("m", None, None, {header: key.encode()} if key is not None else None)
    assert version is not None
    return version.number


def chi_square(canary: int, total: int, per_mille: int) -> float:
    expected = total * per_mille / 1000
    return (canary - expected) ** 2 / expected + (canary - expected) ** 2 / (total - expected)


@pytest.mark.parametrize("per_mille", [10, 50, 500, 990])
def test_shares_are_as_asked_with_and_without_keys(per_mille: int) -> None:
    models = divided(per_mille, seed=7)
    drawn = Counter(asked(models) for _ in range(20_000))
    keyed = Counter(asked(models, f"user {number}") for number in range(20_000))
    assert chi_square(drawn[2], 20_000, per_mille) < CHI_SQUARE_1
    assert chi_square(keyed[2], 20_000, per_mille) < CHI_SQUARE_1


@pytest.mark.parametrize(("per_mille", "only"), [(0, 1), (1000, 2)])
def test_share_of_none_and_of_all(per_mille: int, only: int) -> None:
    models = divided(per_mille)
    assert {asked(models, key) for key in (None, *map(str, range(500)))} == {only}


def test_key_keeps_to_its_version_on_every_host_and_a_larger_share_takes_none_back() -> None:
    keys = [f"user {number}" for number in range(2000)]
    few, again, more = divided(100), divided(100, seed=2), divided(300)
    canary = {key for key in keys if asked(few, key) == 2}
    assert canary == {key for key in keys if asked(again, key) == 2}
    assert canary < {key for key in keys if asked(more, key) == 2}


def test_label_names_the_header_that_decides() -> None:
    models = divided(500, split_by="x-user")
    by_user = [asked(models, f"u{number}", b"x-user") for number in range(200)]
    assert by_user == [asked(models, f"u{number}", b"x-user") for number in range(200)]
    assert len(set(by_user)) == 2
    assert len({asked(models, "u1", b"x-request-key") for _ in range(200)}) == 2  # no key: drawn each time


def test_canary_that_is_not_loaded_gets_nothing() -> None:
    models = divided(1000, loaded=(1,))
    assert {asked(models) for _ in range(10)} == {1}
    load(models, 2)
    assert asked(models) == 2


def test_number_and_other_labels_are_not_divided() -> None:
    models = divided(1000)
    found = models.find("m", 1, None)
    assert found is not None
    assert found.number == 1


def test_draw_that_was_not_used_is_the_next_ones() -> None:
    models = divided(500, seed=3)
    plain = [asked(models) for _ in range(100)]
    models = divided(500, seed=3)
    tried_twice = []
    for _ in range(100):
        asked(models)
        models.put_back("m", None)
        tried_twice.append(asked(models))
    assert tried_twice == plain


def test_requests_are_counted_where_they_came_by_the_label_only() -> None:
    models = divided(1000)
    first, second = models.versions["m", 1], models.versions["m", 2]
    count(second, None).answered(1, 0.01)
    count(second, None).failed(400)
    count(second, None).failed(429)
    second.counters(2, None).answered(1, 0.5)
    second.counters(None, "other").answered(1, 0.5)
    first.counters(None, None).answered(3, 0.02)
    taken = {arm.number: arm.take() for arm in models.arms()}
    assert taken == {
        1: Counts(requests=1, times={bucket_of(0.02): 1}),
        2: Counts(requests=2, errors=1, times={bucket_of(0.01): 1}),
    }
    assert (second.metrics.requests, second.metrics.errors) == (3, {400: 1, 429: 1})
    assert [arm.take() for arm in models.arms()] == [None, None]


def count(version: ServingVersion, label: str | None) -> VersionMetrics | Arm:
    return version.counters(None, label)


def test_change_of_the_label_counts_anew_and_loses_nothing_that_is_under_way() -> None:
    models = divided(1000)
    second = models.versions["m", 2]
    before = second.counters(None, None)
    models.sync([want(1), want(2, "latest")])
    assert asked(models) == 2
    before.answered(1, 0.01)
    [(revision, taken)] = [(arm.revision, taken) for arm in models.arms() if (taken := arm.take())]
    assert (revision, taken.requests) == (1, 1)
    assert second.counters(None, None) is second.metrics


def test_quantiles_are_a_bucket_wide() -> None:
    counts = Counts()
    for number in range(1, 1001):
        counts.add(number / 1000)
    found = counts.quantile_s(0.99)
    assert found is not None
    assert 0.99 <= found <= 0.99 * 2 ** (1 / 8)
    assert counts.slower_than(0.5) == sum(1 for number in range(1, 1001) if number / 1000 > upper_bound(bucket_of(0.5)))
    assert Counts().quantile_s(0.99) is None
    assert Counts.of(counts.row()) == counts
