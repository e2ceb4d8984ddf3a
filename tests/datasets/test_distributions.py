"""Distributions of a data set's columns, against what scipy says and against counts by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats.contingency import association

from app.datasets import distributions as module
from app.datasets.distributions import distributions, histogram
from app.datasets.ingest import ingest
from app.datasets.limits import Limits
from app.errors import InvalidInput

ROWS = 400


def stored(tmp_path: Path, text: str, name: str = "data.csv") -> Path:
    """The directory of an ingested file."""
    file, directory = tmp_path / name, tmp_path / "stored"
    file.write_text(text)
    directory.mkdir()
    with file.open("rb") as stream:
        ingest(stream, name, directory, Limits())
    return directory


@pytest.fixture
def columns(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A data set of numbers and categories that go together, and its columns as lists."""
    random = np.random.default_rng(3)
    size = random.normal(10, 3, ROWS).round(3)
    data: dict[str, Any] = {
        "size": size.tolist(),
        "price": (2 * size + random.normal(0, 2, ROWS)).round(3).tolist(),
        "colour": [("red", "green", "blue")[int(value) % 3] for value in random.integers(0, 9, ROWS)],
        "kind": ["big" if value > 10 else "small" for value in size],
        "same": [7] * ROWS,
    }
    lines = [",".join(data)] + [",".join(map(str, row)) for row in zip(*data.values(), strict=True)]
    return stored(tmp_path, "\n".join(lines) + "\n"), data


def by_name(directory: Path, label: str | None, *names: str) -> dict[str, Any]:
    rows, found = distributions(directory, names, label)
    assert rows == ROWS
    return {one["name"]: one for one in found}


def test_numbers_have_a_histogram_and_few_values_are_counted(columns: tuple[Path, dict[str, Any]]) -> None:
    directory, data = columns
    found = by_name(directory, None, "size", "colour", "same")

    counts, edges = np.histogram(np.float32(data["size"]).astype(float), 30)
    assert found["size"]["histogram"] == {"edges": pytest.approx(edges.tolist()), "counts": counts.tolist()}
    assert (found["size"]["top"], found["size"]["strength"]) == (None, None)
    told = {row["value"]: row["count"] for row in found["colour"]["top"]}
    assert told == {colour: data["colour"].count(colour) for colour in told}
    assert (sum(told.values()), found["colour"]["others"]) == (ROWS, 0)
    assert found["same"]["histogram"] == {"edges": [6.5, 7.5], "counts": [ROWS]}


def test_strengths_are_those_of_scipy_and_numpy(columns: tuple[Path, dict[str, Any]]) -> None:
    directory, data = columns
    numbers = by_name(directory, "price", "size", "colour", "same", "kind")
    kinds = by_name(directory, "kind", "colour", "size")

    assert numbers["size"]["strength"]["kind"] == "pearson"
    assert numbers["size"]["strength"]["value"] == pytest.approx(
        np.corrcoef(data["size"], data["price"])[0, 1], rel=1e-5
    )
    assert numbers["same"]["strength"] is None
    # 1 - (variance within the groups) / (variance of all)
    price, kind = np.array(data["price"]), np.array(data["kind"])
    within = sum(((price[kind == one] - price[kind == one].mean()) ** 2).sum() for one in ("big", "small"))
    ratio = np.sqrt(1 - within / ((price - price.mean()) ** 2).sum())
    assert numbers["kind"]["strength"] == {
        "kind": "correlation_ratio", "value": pytest.approx(ratio, rel=1e-5), "rows": ROWS,
    }  # fmt: skip
    pairs = list(zip(data["kind"], data["colour"], strict=True))
    counted = [[pairs.count((kind, colour)) for colour in set(data["colour"])] for kind in ("big", "small")]
    assert kinds["colour"]["strength"]["value"] == pytest.approx(association(np.array(counted), method="cramer"))


def test_large_data_is_looked_at_in_evenly_spread_rows(
    columns: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    module._computed.cache_clear()
    monkeypatch.setattr(module, "ROWS", 40)
    rows, (found,) = distributions(columns[0], ("same",), None)
    module._computed.cache_clear()
    assert (rows, sum(found["histogram"]["counts"])) == (40, 40)


def test_lists_have_lengths_and_nulls_are_left_out(tmp_path: Path) -> None:
    text = '{"words": ["a", "b", "a"], "flag": true}\n{"words": ["a"], "flag": null}\n{"words": [], "flag": false}\n'
    rows, (words, flag) = distributions(stored(tmp_path, text, "data.jsonl"), ("words", "flag"), "flag")

    assert rows == 3
    assert words["top"] == [{"value": "a", "count": 3}, {"value": "b", "count": 1}]
    assert words["lengths"] == {"edges": [-0.5, 0.5, 1.5, 2.5, 3.5], "counts": [1, 1, 0, 1]}
    assert (flag["nulls"], flag["top"]) == (1, [{"value": False, "count": 1}, {"value": True, "count": 1}])
    assert flag["strength"] == {"kind": "cramers_v", "value": pytest.approx(1.0), "rows": 2}


def test_unknown_column_is_refused(columns: tuple[Path, dict[str, Any]]) -> None:
    for names, label in ((("nothing",), None), (("size",), "nothing")):
        with pytest.raises(InvalidInput, match="no column"):
            distributions(columns[0], names, label)


def test_no_values_have_no_histogram() -> None:
    assert histogram(np.array([np.nan, np.inf])) is None
