"""Reports on regressions, slices, worst rows and importance."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from workers.report import importance, regression_part, report, slices
from workers.report.classification_part import Classified


@pytest.mark.parametrize("weighted", [False, True])
def test_errors_equal_scikit_learn(weighted: bool) -> None:
    rng = np.random.default_rng(1)
    labels = rng.normal(10.0, 3.0, 2000)
    predictions = labels + rng.normal(0.3, 1.0, 2000)
    weights = rng.uniform(0.1, 2.0, 2000) if weighted else None
    told = regression_part.describe(regression_part.Measured(labels, predictions, weights))["metrics"]
    expected = {
        "mean_absolute_error": metrics.mean_absolute_error(labels, predictions, sample_weight=weights),
        "root_mean_squared_error": metrics.root_mean_squared_error(labels, predictions, sample_weight=weights),
        "r2": metrics.r2_score(labels, predictions, sample_weight=weights),
        "median_absolute_error": metrics.median_absolute_error(labels, predictions),
        "bias": np.average(predictions - labels, weights=weights),
    }
    assert told == pytest.approx(expected, abs=1e-9)


def test_histogram_and_grid_count_every_row() -> None:
    rng = np.random.default_rng(2)
    labels = rng.standard_cauchy(1000)  # far outliers
    found = regression_part.describe(regression_part.Measured(labels, labels * 0.5))
    assert sum(found["residuals"]["histogram"]["rows"]) == 1000
    assert np.sum(found["predicted_against_true"]["rows"]) == 1000


@pytest.mark.parametrize("size", [0.0, 1e-300, 1e-12, 1.0, 1e12, 1e38])
def test_values_that_are_all_but_equal_have_a_histogram(size: float) -> None:
    labels = np.full(10, size)
    found = regression_part.describe(regression_part.Measured(labels, labels * (1 + 1e-16 * np.arange(10))))
    assert sum(found["residuals"]["histogram"]["rows"]) == 10
    assert np.sum(found["predicted_against_true"]["rows"]) == 10


def test_constant_labels_have_no_r2() -> None:
    found = regression_part.describe(regression_part.Measured(np.full(5, 2.0), np.full(5, 2.0)))
    assert found["metrics"]["r2"] is None
    assert found["metrics"]["mean_absolute_error"] == 0.0


def test_slices_of_text_have_counts_means_and_wilson_intervals() -> None:
    column = np.array(["a"] * 4 + ["b"] * 2 + [None], dtype=object)
    values = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0])
    (found,) = slices.by_column({"island": column}, values)
    told = {entry["slice"]: (entry["rows"], entry["value"]) for entry in found["slices"]}
    assert told == {"a": (4, 0.75), "b": (2, 0.5), slices.MISSING: (1, 1.0)}
    # 3 of 4, z² = 3.8415: centre (0.75 + 0.48018) / 1.96036 = 0.62753, half 0.99980 / 1.96036 · √0.10690 … = 0.32689
    low, high = slices.wilson(values[:4])
    assert (low, high) == (pytest.approx(0.300642, abs=1e-5), pytest.approx(0.954413, abs=1e-5))


def test_numbers_are_cut_into_ranges_of_about_equal_size() -> None:
    column = np.arange(1000.0)
    column[::10] = np.nan
    (found,) = slices.by_column({"age": column}, np.linspace(0.0, 5.0, 1000))
    rows = [entry["rows"] for entry in found["slices"]]
    assert len(rows) == slices.RANGES + 1
    assert sum(rows) == 1000
    assert max(rows[:-1]) - min(rows[:-1]) <= 2
    assert found["slices"][-1]["slice"] == slices.MISSING


def test_many_values_end_in_a_slice_of_the_rest() -> None:
    column = np.array([f"v{i % 30}" for i in range(300)], dtype=object)
    (found,) = slices.by_column({"city": column}, np.arange(300.0))
    assert [entry["slice"] for entry in found["slices"]][-1] == slices.REST
    assert sum(entry["rows"] for entry in found["slices"]) == 300


def test_column_with_the_largest_difference_comes_first() -> None:
    group = np.array(["x", "y"] * 50, dtype=object)
    noise = np.array(["p", "q", "q", "p"] * 25, dtype=object)
    values = np.where(group == "x", 1.0, 0.0)
    found = slices.by_column({"noise": noise, "group": group}, values)
    assert [entry["column"] for entry in found] == ["group", "noise"]


def test_worst_rows_are_those_of_the_highest_loss_with_their_values() -> None:
    probabilities = np.array([[0.9, 0.1], [0.99, 0.01], [0.2, 0.8]])
    data = Classified(np.array([1, 1, 1]), probabilities, ["no", "yes"])
    columns = {"age": np.array([1.0, np.nan, 3.0])}
    found = report.describe(data, columns, np.array([10, 11, 12]), total_rows=3)["worst_rows"]
    assert [entry["row"] for entry in found] == [11, 10, 12]
    assert found[0] == {
        "row": 11,
        "loss": pytest.approx(-np.log(0.01)),
        "label": "yes",
        "predicted": "no",
        "probability": 0.99,
        "values": {"age": None},
    }


def test_only_the_column_that_matters_has_importance() -> None:
    rng = np.random.default_rng(3)
    columns = {"used": rng.normal(size=1500), "unused": rng.normal(size=1500)}
    labels = 2.0 * columns["used"]
    shuffles = importance.Shuffles(list(columns), 1500, seed=1)
    predicted = 2.0 * columns["used"][shuffles.index("used")]
    found = shuffles.importance(np.abs(predicted - labels[shuffles.repeated]))
    assert [entry["column"] for entry in found] == ["used", "unused"]
    assert found[1]["loss_increase"] == 0.0
    # mean of |2(x_i - x_j)| of independent standard normal numbers: 2 · 2/√π = 2.257
    assert found[0]["loss_increase"] == pytest.approx(2.257, rel=0.1)


@pytest.mark.parametrize(("columns", "rows", "sample"), [(3, 10, 10), (3, 5000, 2000), (80, 5000, 1960)])
def test_shuffled_rows_are_bounded(columns: int, rows: int, sample: int) -> None:
    # 80 columns: 50 are shuffled, 100,000 / 51 = 1960 rows each
    shuffles = importance.Shuffles([f"c{i}" for i in range(columns)], rows, seed=0)
    assert len(shuffles.sample) == sample
    assert len(shuffles.index("c0")) == len(shuffles.repeated) <= importance.MOST_PREDICTED
    assert len(shuffles.importance(np.ones(len(shuffles.repeated)))) == min(columns, importance.MOST_COLUMNS)


def test_labels_of_many_have_curves_each() -> None:
    rng = np.random.default_rng(5)
    labels = (rng.random((400, 3)) < 0.4).astype(float)
    probabilities = np.clip(labels * 0.4 + rng.random((400, 3)) * 0.6, 0, 1)
    found = report.describe_labels_of_many(labels, probabilities, ["a", "b", "c"], total_rows=400)
    for number, entry in enumerate(found["curves"]):
        expected = metrics.roc_auc_score(labels[:, number], probabilities[:, number])
        assert entry["roc"]["auc"] == pytest.approx(expected, abs=1e-9)
