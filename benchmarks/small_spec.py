"""The specification of a small training job, for benchmarks that fill a registry with jobs that never run."""

from __future__ import annotations

from app.jobs.spec import (
    BestMetric,
    EstimatorChoice,
    Feature,
    LabelSpec,
    Missing,
    Promote,
    TrainData,
    TrainDataSets,
    Training,
    TrainSpec,
)


def small_spec(model: str) -> TrainSpec:
    """A linear regression of one column by another; the data set is none of the registry's."""
    column = {"type": "numeric_column", "key": "x"}
    feature = Feature(
        name="x", dtype="float32", shape=(), sequence=False, missing=Missing(policy="mean", value=0.0),
        vocabulary=None, min=0.0, max=1.0,
    )  # fmt: skip
    data = TrainData(
        dataset="none", label="y", batch_size=32, shuffle=True, epochs=None, ignore=(), weight=None, missing={},
        digest="sha256:0", part="all",
    )  # fmt: skip
    training = Training(
        max_steps=100, save_checkpoints_steps=100, keep_checkpoint_max=5, seed=1, evaluate_every_steps=None,
        early_stopping=None,
    )  # fmt: skip
    return TrainSpec(
        model=model,
        estimator=EstimatorChoice(type="LinearRegressor", args={"feature_columns": [column]}),
        columns=None,
        features=(feature,),
        labels=(LabelSpec(head=None, columns=("y",), kind="number", vocabulary=None),),
        weight=None,
        data=TrainDataSets(train=data, eval=None, holdout=None),
        train=training,
        warm_start_from=None,
        export="final",
        best_metric=BestMetric(metric="loss", mode="min"),
        promote=Promote(label="latest", when=None),
    )
