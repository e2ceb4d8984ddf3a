"""Statistics of a column, chunk by chunk."""

import numpy as np
import pytest

from app.datasets.writers.column_statistics import DISTINCT_CAP, NumberStatistics, string_info
from app.datasets.writers.memory_budget import MemoryBudget
from tests.datasets.ingested import ingested


def test_chunks_merge_to_the_statistics_of_the_whole() -> None:
    values = np.random.default_rng(0).normal(1e6, 1.0, 10_000)
    statistics = NumberStatistics(MemoryBudget())
    for part in np.split(values, [0, 1, 10, 5000]):
        statistics.add(part)
    info = statistics.info()
    assert (info["min"], info["max"]) == (values.min(), values.max())
    assert info["mean"] == pytest.approx(values.mean(), rel=1e-14)
    assert info["stddev"] == pytest.approx(values.std(), rel=1e-9)
    assert info["distinct"] == len(set(values.tolist()))


def test_distinct_is_exact_up_to_the_cap_and_then_unknown() -> None:
    statistics = NumberStatistics(MemoryBudget())
    statistics.add(np.tile(np.arange(DISTINCT_CAP), 3))
    assert statistics.info()["distinct"] == DISTINCT_CAP
    statistics.add(np.array([-1]))
    assert statistics.info()["distinct"] is None


def test_distinct_integers_and_floats_are_those_that_python_tells_apart() -> None:
    chosen = np.random.default_rng(3)
    edges = np.array([0, 1, 2**24, 2**53, 2**62, 2**63 - 1024, 2**63 - 1, -(2**53), -(2**63)])
    integers = [
        np.concatenate([edges, edges[:4] + 1, edges[7:] + 1, chosen.choice(edges, 50)]),
        edges[:3],
        edges - (edges > 0),
    ]
    floats = [edges.astype(np.float64), np.array([-0.0, 0.5, 2.0**70, -(2.0**63)]), np.array([0.5, 2.0**53 + 2])]
    for chunks in ([*integers, *floats], [*floats, *integers], [floats[1], integers[2], *floats, *integers]):
        statistics, seen = NumberStatistics(MemoryBudget()), set[float]()
        for chunk in chunks:
            statistics.add(chunk)
            seen.update(chunk.tolist())
            assert statistics.info()["distinct"] == len(seen)


def test_nothing_seen_has_no_values() -> None:
    assert set(NumberStatistics(MemoryBudget()).info().values()) == {None, 0}


def test_extremes_of_integers_are_exact() -> None:
    statistics = NumberStatistics(MemoryBudget())
    statistics.add(np.array([2**63 - 1, -(2**63)]))
    info = statistics.info()
    assert (info["min"], info["max"]) == (-(2**63), 2**63 - 1)
    # both ends of int64 in float64: mean -0.5 rounds to 0, distance 2**63 to it
    assert info["stddev"] == pytest.approx(2.0**63)


def test_strings_that_are_no_text_have_no_vocabulary() -> None:
    assert string_info({b"\xff": 1, b"a": 2})["vocabulary"] is None
    assert string_info({b"\0": 1, b"a": 2})["vocabulary"] is None
    assert string_info({b"b": 1, b"a": 1, b"c": 2})["vocabulary"] == ["c", "a", "b"]


def test_distinct_values_of_many_columns_share_one_budget() -> None:
    budget = MemoryBudget(total=1000)  # ten values of 100 bytes
    first, second = NumberStatistics(budget), NumberStatistics(budget)
    first.add(np.arange(8))
    second.add(np.arange(3))
    assert (first.info()["distinct"], second.info()["distinct"]) == (8, None)
    assert budget.left == 200


def test_columns_of_equal_cells_have_one_fingerprint() -> None:
    rows = [(n * 7 % 11, n * 7 % 11, n * 5 % 11, "ab"[n % 2], "ab"[n % 2], "ba"[n % 2]) for n in range(200_000)]
    data = "a,b,c,s,t,u\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    with ingested(data.encode(), "x.csv") as (result, _):
        a, b, c, s, t, u = (info["fingerprint"] for info in result.columns)
    assert a == b
    assert s == t
    assert len({a, c, s, u}) == 4
