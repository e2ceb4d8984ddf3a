"""`TrainSpecBuilder`: a training request to the job's complete specification."""

from __future__ import annotations

import copy
from collections.abc import Collection

from app.errors import quote_name
from app.jobs import auto_columns, estimators, json_schema, parameters
from app.jobs.column_advice import advise
from app.jobs.dataset import DatasetInfo, all_null
from app.jobs.feature_columns import COLUMN_ARGUMENTS, ColumnUsage, resolve_arguments
from app.jobs.field_errors import FieldErrors
from app.jobs.fields import Mode
from app.jobs.labels import Labels, column_names
from app.jobs.missing_values import features as resolve_features
from app.jobs.plan import Datasets, JobLimits, TrainedSources
from app.jobs.request import EvalDataRequest, PromoteRequest, TrainJobRequest
from app.jobs.spec import (
    Arguments,
    BestMetric,
    EarlyStoppingSpec,
    EstimatorChoice,
    EvalData,
    Feature,
    LabelSpec,
    Promote,
    PromotionGate,
    Resources,
    SourceReference,
    TrainData,
    TrainDataSets,
    Training,
    TrainSpec,
)
from app.jobs.trained_source import check_same_columns, find_source, renamed_labels
from app.jobs.weight import resolve_weight

_RISING = ("accuracy", "auc", "precision", "recall")
"""Metrics of which more is better; of any other, less."""


def metric_mode(metric: str) -> Mode:
    """Whether less or more of a metric is better, by its name."""
    return "max" if metric.rsplit("/", 1)[-1].startswith(_RISING) else "min"


_SMALLER = " Use smaller layers, embeddings or hash buckets."


class TrainSpecBuilder:
    """Builds one specification. Each step adds its errors to `errors`; they are raised together."""

    def __init__(
        self,
        request: TrainJobRequest,
        datasets: Datasets,
        models: TrainedSources | None,
        catalogue: Collection[str],
        limits: JobLimits,
        errors: FieldErrors,
        warnings: list[str],
    ) -> None:
        self._request, self._datasets, self._models = request, datasets, models
        self._catalogue, self._limits = catalogue, limits
        self._errors, self._warnings = errors, warnings
        self._kind = request.estimator.type
        self._auto = request.columns == "auto"
        self._trained_on = ""

    def build(self, memory_limit_bytes: int | None) -> TrainSpec:
        """The specification, with all defaults resolved against the data sets.

        Raises:
            InvalidInput: with a JSON pointer to each wrong field.
        """
        args = self._arguments()
        train = self._request.data.train
        data = self._data_set("/data/train", train.dataset)
        self._errors.raise_if_any()
        assert data is not None
        self._trained_on = data.id
        weight = resolve_weight(self._kind, args, train.weight, train.missing, data, self._errors)
        usage = ColumnUsage(data, self._taken(weight), self._request.data.holdout is None)
        if self._auto:
            args |= auto_columns.choose(self._kind, data, set(usage.taken), self._label_columns(), self._warnings)
        self._columns(args, usage)
        checked = Labels(data, self._errors, "/data/train/label", train.missing, self._warnings)
        labels = checked.resolve(self._kind, args, train.label)
        args = resolve_arguments(args, usage)
        features = resolve_features(usage, train.missing, "/data/train/missing")
        self._errors += usage.errors
        if not features and not usage.errors:
            self._errors.add("/estimator/args", self._no_feature(usage))
        self._errors.raise_if_any()
        args = estimators.fill_defaults(self._kind, args)
        self._size(args, memory_limit_bytes or self._limits.machine_memory_bytes)
        names = [feature.name for feature in features]
        advise(data, names, self._label_columns(), args, self._auto, self._warnings)
        parts, training, start = self._data(data, features, labels), self._training(), self._warm_start()
        promote = promotion(self._request.promote, self._errors)
        resources = self._resources(args)
        self._errors.raise_if_any()
        assert parts is not None
        return TrainSpec(
            model=self._request.model,
            memory_limit_bytes=memory_limit_bytes,
            estimator=EstimatorChoice(type=self._kind, args=args),
            columns=self._request.columns,
            features=features,
            labels=labels,
            weight=weight,
            data=parts,
            train=training,
            warm_start_from=start,
            export=self._request.export,
            best_metric=self._best_metric(),
            promote=promote,
            resources=resources,
        )

    def _resources(self, args: Arguments) -> Resources:
        asked, batch = self._request.resources, self._request.data.train.batch_size
        resources = Resources(devices=asked.devices, workers=asked.workers)
        if batch % resources.replicas:
            detail = (
                f"A step's {batch} rows cannot be divided evenly among {resources.replicas} replicas "
                f"({asked.workers} workers of {asked.devices} devices). Use a multiple of {resources.replicas}."
            )
            self._errors.add("/data/train/batch_size", detail)
        if resources.replicas > 1 and args.get("batch_norm"):
            self._warnings.append(
                f"Batch normalization sees one replica's rows only: {batch // resources.replicas} of a step's {batch}."
            )
        return resources

    def _arguments(self) -> Arguments:
        """A copy of the estimator's arguments, which fit their schema."""
        args = self._request.estimator.args
        if self._kind not in estimators.document()["estimators"]:
            known = ", ".join(estimators.document()["estimators"])
            self._errors.add("/estimator/type", f"There is no estimator {quote_name(self._kind)}. Known: {known}.")
            self._errors.raise_if_any()
        at, wanted = "/estimator/args", estimators.argument_schema(self._kind, auto=self._auto)
        self._errors += json_schema.check(args, wanted, at, estimators.definitions())
        self._errors.raise_if_any()
        if self._kind == estimators.CATALOGUE_TYPE and args["model_fn"] not in self._catalogue:
            self._errors.add(at + "/model_fn", "The operator's catalogue has no model_fn of this name.")
        if self._auto and any(args.get(name) for name in COLUMN_ARGUMENTS):
            self._errors.add("/columns", 'Give either feature columns or "columns": "auto".')
        return copy.deepcopy(args)

    def _data_set(self, at: str, dataset_id: str) -> DatasetInfo | None:
        data = self._datasets(dataset_id)
        if data is None:
            self._errors.add(at + "/dataset", "There is no data set with this id or name.")
        elif data.rows == 0:
            self._errors.add(at + "/dataset", "The data set has no rows.")
        return data

    def _taken(self, weight: str | None) -> dict[str, str]:
        """Columns that cannot be features, and what they are instead."""
        train = self._request.data.train
        taken = dict.fromkeys(train.ignore, "in 'ignore'")
        if weight is not None:
            taken[weight] = "the weight"
        return taken | dict.fromkeys(self._label_columns(), "the label")

    def _label_columns(self) -> list[str]:
        label = self._request.data.train.label
        labels = label.values() if isinstance(label, dict) else [label]
        return [name for part in labels if part is not None for name in column_names(part)]

    def _no_feature(self, usage: ColumnUsage) -> str:
        """What became of every column of the data set."""
        taken = [f"{quote_name(name)} is {what}" for name, what in list(usage.taken.items())[:20]]
        taken_columns = [f"Of the data set's columns, {', '.join(taken)}."] if taken else []
        return " ".join(["No feature is left to learn from.", *taken_columns, *self._warnings[:20]])

    def _columns(self, args: Arguments, usage: ColumnUsage) -> None:
        """Adds an error for too many columns; where the estimator takes none, all other columns are raw features."""
        for i, name in enumerate(self._request.data.train.ignore):
            if usage.data.column(name) is None:
                usage.error(f"/data/train/ignore/{i}", f"The data set has no column {quote_name(name)}.")
        number = sum(len(args.get(name) or ()) for name in COLUMN_ARGUMENTS)
        if number > self._limits.max_columns:
            self._errors.add("/estimator/args", f"Has {number} feature columns; at most {self._limits.max_columns}.")
            self._errors.raise_if_any()
        if not any(estimators.takes(self._kind, name) for name in COLUMN_ARGUMENTS):
            for column in usage.data.columns:
                if column["name"] not in usage.taken and not all_null(column, usage.data.rows):
                    usage.uses.setdefault(column["name"], set()).add("raw")

    def _size(self, args: Arguments, memory_limit_bytes: int | None) -> None:
        number = parameters.count(args)
        if number > self._limits.max_parameters:
            detail = f"The model would have {number} parameters; at most {self._limits.max_parameters} are allowed."
            self._errors.add("/estimator/args", detail + _SMALLER)
            return
        needed = parameters.memory_bytes(args, number, self._request.data.train.batch_size)
        if memory_limit_bytes is not None and needed > memory_limit_bytes:
            detail = f"Training would need about {needed} bytes of memory; the limit is {memory_limit_bytes}."
            self._errors.add("/estimator/args", detail + _SMALLER)

    def _data(
        self, data: DatasetInfo, features: tuple[Feature, ...], labels: tuple[LabelSpec, ...]
    ) -> TrainDataSets | None:
        """Training and evaluation data; None, with an error, where the latter cannot be used."""
        requested, holdout = self._request.data, self._request.data.holdout
        train = requested.train
        training = TrainData(
            dataset=data.id,
            label=train.label,
            batch_size=train.batch_size,
            shuffle=train.shuffle,
            epochs=train.epochs,
            ignore=train.ignore,
            weight=train.weight,
            missing=train.missing,
            digest=data.digest,
            part="all" if holdout is None else "train",
        )
        if requested.eval is not None:
            evaluation = self._evaluation_data(requested.eval, features, labels)
            return None if evaluation is None else TrainDataSets(train=training, eval=evaluation, holdout=None)
        if holdout is None:
            return TrainDataSets(train=training, eval=None, holdout=None)
        kept = EvalData(
            dataset=data.id,
            digest=data.digest,
            label=train.label,
            labels=labels,
            batch_size=max(256, train.batch_size),
            part="holdout",
        )
        return TrainDataSets(train=training, eval=kept, holdout=holdout)

    def _evaluation_data(
        self, requested: EvalDataRequest, features: tuple[Feature, ...], labels: tuple[LabelSpec, ...]
    ) -> EvalData | None:
        if self._request.data.holdout is not None:
            self._errors.add("/data/holdout", "Give either 'eval' or 'holdout'.")
        if requested.part != "all":
            self._errors.add("/data/eval/part", "Give 'holdout' instead.")
        other = self._data_set("/data/eval", requested.dataset)
        if other is None:
            return None
        if requested.label is not None:
            labels = renamed_labels(labels, requested.label, self._errors)
        check_same_columns(other, features, labels, "/data/eval", self._errors)
        if self._trained_on == other.id:
            self._warnings.append("Evaluation runs on the training rows; give 'holdout' for an honest measure.")
        return EvalData(
            dataset=other.id,
            label=requested.label,
            batch_size=requested.batch_size,
            part=requested.part,
            digest=other.digest,
            labels=labels,
        )

    def _training(self) -> Training:
        request = self._request
        options, epochs = request.train, request.data.train.epochs
        if options.max_steps is None and epochs is None:
            self._errors.add("/train/max_steps", "Give max_steps, or epochs in /data/train: else it never ends.")
        self._check_evaluation_data()
        # A tenth of the job, so that a lost attempt costs little; not so often that saving is what costs.
        save_every = options.save_checkpoints_steps or min(10_000, max(100, (options.max_steps or 10_000) // 10))
        stopping = options.early_stopping
        evaluate_every = options.evaluate_every_steps
        if (stopping is not None or request.export == "best") and evaluate_every is None:
            evaluate_every = save_every
        return Training(
            max_steps=options.max_steps,
            save_checkpoints_steps=save_every,
            keep_checkpoint_max=options.keep_checkpoint_max,
            keep_checkpoint_every_n_hours=options.keep_checkpoint_every_n_hours,
            seed=options.seed,
            evaluate_every_steps=evaluate_every,
            early_stopping=None
            if stopping is None
            else EarlyStoppingSpec(
                metric=stopping.metric,
                patience_steps=stopping.patience_steps,
                mode=stopping.mode or metric_mode(stopping.metric),
                min_steps=stopping.min_steps,
            ),
        )

    def _check_evaluation_data(self) -> None:
        """Adds an error for each option that needs evaluation data where there is none."""
        request = self._request
        if request.data.eval is not None or request.data.holdout is not None:
            return
        needs = {
            "/train/evaluate_every_steps": request.train.evaluate_every_steps is not None,
            "/train/early_stopping": request.train.early_stopping is not None,
            "/export": request.export == "best",
            "/promote/when": request.promote is not None and request.promote.when is not None,
        }
        for at, needed in needs.items():
            if needed:
                self._errors.add(at, "Needs evaluation data: give /data/eval or /data/holdout.")

    def _best_metric(self) -> BestMetric:
        best = self._request.best_metric
        if best is None:
            return BestMetric(metric="loss", mode="min")
        return BestMetric(metric=best.metric, mode=best.mode or metric_mode(best.metric))

    def _warm_start(self) -> SourceReference | None:
        if self._request.warm_start_from is None:
            return None
        source = find_source(self._request.warm_start_from, self._models, self._errors, "/warm_start_from")
        return None if source is None else source.reference()


def promotion(promote: PromoteRequest | None, errors: FieldErrors) -> Promote | None:
    """The promotion of a version, as it is stored."""
    if promote is None:
        return None
    gate = promote.when
    if gate is None:
        return Promote(label=promote.label, when=None)
    if gate.at_least is None and gate.at_most is None:
        errors.add("/promote/when", "Give 'at_least' or 'at_most'.")
    return Promote(
        label=promote.label, when=PromotionGate(metric=gate.metric, at_least=gate.at_least, at_most=gate.at_most)
    )
