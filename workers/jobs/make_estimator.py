"""The Estimator of a training specification, and the features that its export takes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import tf_estimator as est
from app.jobs.spec import TrainSpec
from tf_estimator.training.trace_store import TraceStore
from workers.attempt.hooks import series_interval
from workers.estimator_json import model_fns
from workers.estimator_json.build import estimator_from_json

_TRACES = TraceStore()
"""Of this process' jobs, which run one after the other: one with an estimator that was seen before starts at once."""


def make_estimator(spec: TrainSpec, model_dir: Path, *, warm_start: Path | None = None, strategy: Any = None) -> Any:
    """The Estimator of a resolved training specification. Checkpoints are kept until the registry says otherwise.

    Args:
        strategy: a `tf.distribute` strategy for training over several devices.

    Raises:
        InvalidInput: the catalogue lacks the model_fn.
        ValueError: arguments that do not fit together.
    """
    training, kind, args = spec.train, spec.estimator.type, spec.estimator.args
    config = est.RunConfig(
        model_dir=str(model_dir),
        tf_random_seed=training.seed,
        save_checkpoints_steps=training.save_checkpoints_steps,
        save_summary_steps=max(100, series_interval(training.max_steps)),
        keep_checkpoint_max=None,
        log_step_count_steps=max(100, series_interval(training.max_steps)),
        checkpoint_save_graph_def=False,
        train_distribute=strategy,
    )
    start = None if warm_start is None else str(warm_start)
    if kind == "Estimator":
        function = model_fns.model_fn(args["model_fn"])
        return est.Estimator(function, config=config, params=args.get("params", {}), warm_start_from=start)
    estimator = estimator_from_json({"type": kind, "args": args}, config=config, warm_start_from=start)
    made_of = json.dumps([kind, args], sort_keys=True).encode()
    estimator.model_runtime.share_traces(_TRACES, hashlib.sha256(made_of).digest())
    return estimator


def feature_infos(spec: TrainSpec) -> list[Any]:
    """The features that a client of the exported model sends."""
    return [
        est.export.FeatureInfo(
            name=feature.name,
            dtype=feature.dtype,
            shape=feature.shape,
            sequence=feature.sequence,
            missing=None if feature.missing.policy in ("drop", "error") else feature.missing.model_dump(mode="json"),
            vocabulary=None if feature.vocabulary is None else list(feature.vocabulary),
            minimum=feature.min,
            maximum=feature.max,
        )
        for feature in spec.features
    ]
