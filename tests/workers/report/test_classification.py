"""Reports on classifiers: every number is scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from workers.report import classification_part, curves


def made(
    classes: int, rows: int = 3000, seed: int = 0, *, ties: bool = False, weighted: bool = False
) -> classification_part.Classified:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    logits = rng.normal(size=(rows, classes))
    logits[np.arange(rows), labels] += 1.0
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if ties:
        probabilities = np.round(probabilities, 1)
        probabilities[:, 0] += 1 - probabilities.sum(axis=1)
        probabilities = np.clip(probabilities, 0.0, 1.0)
    weights = rng.uniform(0.5, 2.0, rows) if weighted else None
    return classification_part.Classified(labels, probabilities, [f"c{i}" for i in range(classes)], weights)


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("weighted", [False, True])
def test_matrix_and_numbers_per_class_equal_scikit_learn(classes: int, weighted: bool) -> None:
    data = made(classes, weighted=weighted)
    found = classification_part.describe(data)
    matrix = metrics.confusion_matrix(data.labels, data.predicted, sample_weight=data.weights)
    np.testing.assert_allclose(found["confusion"]["matrix"], matrix, rtol=1e-12)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        data.labels, data.predicted, sample_weight=data.weights
    )
    for number, entry in enumerate(found["classes"]):
        np.testing.assert_allclose(
            [entry["precision"], entry["recall"], entry["f1"], entry["support"]],
            [precision[number], recall[number], f1[number], support[number]],
            rtol=1e-9,
        )
    told = found["metrics"]
    assert told["accuracy"] == pytest.approx(
        metrics.accuracy_score(data.labels, data.predicted, sample_weight=data.weights), abs=1e-9
    )
    assert told["log_loss"] == pytest.approx(
        metrics.log_loss(data.labels, data.probabilities, sample_weight=data.weights), abs=1e-9
    )
    assert told["macro_f1"] == pytest.approx(
        metrics.f1_score(data.labels, data.predicted, average="macro", sample_weight=data.weights), abs=1e-9
    )


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_areas_equal_scikit_learn(ties: bool, weighted: bool) -> None:
    data = made(2, ties=ties, weighted=weighted)
    positive, scores = data.labels == 1, data.probabilities[:, 1]
    counts = curves.Cumulated.of(positive, scores, data.weights)
    roc, pr = curves.roc(counts), curves.precision_recall(counts)
    assert roc is not None
    assert pr is not None
    assert roc["auc"] == pytest.approx(metrics.roc_auc_score(positive, scores, sample_weight=data.weights), abs=1e-9)
    assert pr["average_precision"] == pytest.approx(
        metrics.average_precision_score(positive, scores, sample_weight=data.weights), abs=1e-9
    )


def test_points_of_a_short_curve_equal_scikit_learn() -> None:
    data = made(2, rows=60)
    positive, scores = data.labels == 1, data.probabilities[:, 1]
    roc = curves.roc(curves.Cumulated.of(positive, scores))
    false_rate, true_rate, _ = metrics.roc_curve(positive, scores, drop_intermediate=False)
    assert roc is not None
    np.testing.assert_allclose(roc["false_positive_rate"], false_rate, atol=1e-12)
    np.testing.assert_allclose(roc["true_positive_rate"], true_rate, atol=1e-12)


def test_long_curve_is_thinned_and_keeps_its_ends_and_its_area() -> None:
    data = made(2, rows=200_000)
    positive, scores = data.labels == 1, data.probabilities[:, 1]
    roc = curves.roc(curves.Cumulated.of(positive, scores))
    assert roc is not None
    assert len(roc["true_positive_rate"]) <= curves.CURVE_POINTS + 2
    assert (roc["false_positive_rate"][0], roc["true_positive_rate"][-1]) == (0.0, 1.0)
    thinned = np.trapezoid(roc["true_positive_rate"], roc["false_positive_rate"])
    assert thinned == pytest.approx(roc["auc"], abs=1e-3)


def test_calibration_equals_scikit_learn_and_error_is_the_weighted_distance() -> None:
    data = made(2)
    positive, scores = data.labels == 1, data.probabilities[:, 1]
    found = curves.calibration(positive, scores)
    share, mean = calibration_curve(positive, scores, n_bins=10, strategy="uniform")
    np.testing.assert_allclose(found["share_positive"], share, atol=1e-12)
    np.testing.assert_allclose(found["mean_score"], mean, atol=1e-12)
    rows = np.array(found["rows"])
    assert rows.sum() == len(scores)
    assert found["expected_calibration_error"] == pytest.approx(np.sum(rows * np.abs(share - mean)) / rows.sum())


def test_threshold_counts_are_those_of_counting() -> None:
    data = made(2, rows=500, ties=True)
    positive, scores = data.labels == 1, data.probabilities[:, 1]
    table = curves.threshold_counts(curves.Cumulated.of(positive, scores))
    for place, threshold in enumerate(table["threshold"]):
        chosen = scores >= threshold
        assert table["true_positives"][place] == np.sum(chosen & positive)
        assert table["false_positives"][place] == np.sum(chosen & ~positive)
        assert table["false_negatives"][place] == np.sum(~chosen & positive)
        assert table["true_negatives"][place] == np.sum(~chosen & ~positive)


def test_class_that_nobody_is_or_predicts_has_no_numbers() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]])
    found = classification_part.describe(
        classification_part.Classified(np.array([0, 1]), probabilities, ["a", "b", "never"])
    )
    assert found["classes"][2] == {"class": "never", "precision": None, "recall": None, "f1": None, "support": 0.0}
    assert found["metrics"]["macro_f1"] == 1.0


def test_rows_of_one_class_only_have_no_roc() -> None:
    data = classification_part.Classified(np.array([1, 1]), np.array([[0.1, 0.9], [0.6, 0.4]]), ["no", "yes"])
    (found,) = classification_part.describe(data)["curves"]
    assert found["roc"] is None
    assert found["precision_recall"]["average_precision"] == 1.0
