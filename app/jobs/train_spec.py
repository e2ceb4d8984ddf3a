"""The complete specification of a training job, from a request that fits its schema."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

from app.errors import quote_name
from app.jobs import auto_columns as auto
from app.jobs import estimators, parameters
from app.jobs import json_schema as schema
from app.jobs.dataset import DatasetInfo, all_null, is_number, is_sequence, width
from app.jobs.feature_columns import COLUMN_ARGUMENTS, Reading, resolve_arguments
from app.jobs.labels import Labels
from app.jobs.missing import features
from app.jobs.plan import Datasets, Limits, Mistakes, Sources
from app.jobs.trained_source import check_same_columns, find_source, renamed

Json = dict[str, Any]
_RISING = ("accuracy", "auc", "precision", "recall")
"""Metrics of which more is better; of any other less is."""


def metric_mode(metric: str) -> str:
    """`max` or `min`, by the metric's name."""
    return "max" if metric.rsplit("/", 1)[-1].startswith(_RISING) else "min"


class TrainSpec:
    """Built in one go by `build`; each step notes its mistakes and they are raised together."""

    def __init__(
        self,
        request: Json,
        datasets: Datasets,
        models: Sources | None,
        catalogue: Collection[str],
        limits: Limits,
        mistakes: Mistakes,
        warnings: list[str],
    ) -> None:
        self._request, self._datasets, self._models = request, datasets, models
        self._catalogue, self._limits = catalogue, limits
        self._mistakes, self._warnings = mistakes, warnings
        self._kind: str = request["estimator"]["type"]
        self._auto = request["columns"] == "auto"

    def build(self) -> Json:
        args = self._arguments()
        data = self._data_set("/data/train", self._request["data"]["train"]["dataset"])
        self._mistakes.stop()
        assert data is not None
        train = self._request["data"]["train"]
        weight = self._weight(args, train, data)
        reading = Reading(data, self._taken(train, weight), self._request["data"]["holdout"] is None)
        if self._auto:
            args |= auto.choose(self._kind, data, set(reading.taken), self._warnings)
        self._columns(args, reading)
        labels = Labels(data, self._mistakes, "/data/train/label", train["missing"]).resolve(
            self._kind, args, train["label"]
        )
        args = resolve_arguments(args, reading)
        read = features(reading, train["missing"], "/data/train/missing")
        self._mistakes += reading.errors
        if not read and not reading.errors:
            self._mistakes.add("/estimator/args", "No feature is left to learn from.")
        self._mistakes.stop()
        args = estimators.fill_defaults(self._kind, args)
        self._size(args)
        spec = {
            "type": "train",
            "model": self._request["model"],
            "estimator": {"type": self._kind, "args": args},
            "columns": self._request["columns"],
            "features": read,
            "labels": labels,
            "weight": weight,
            "data": self._data(data, read, labels),
        }
        spec |= self._training(spec["data"]["eval"] is not None, train["epochs"])
        self._mistakes.stop()
        return spec

    def _arguments(self) -> Json:
        args = self._request["estimator"]["args"]
        if self._kind not in estimators.document()["estimators"]:
            known = ", ".join(estimators.document()["estimators"])
            self._mistakes.add("/estimator/type", f"There is no estimator {quote_name(self._kind)}. Known: {known}.")
            self._mistakes.stop()
        at, wanted = "/estimator/args", estimators.argument_schema(self._kind, auto=self._auto)
        self._mistakes += schema.check(args, wanted, at, estimators.definitions())
        self._mistakes.stop()
        if self._kind == estimators.CATALOGUE_TYPE and args["model_fn"] not in self._catalogue:
            self._mistakes.add(at + "/model_fn", "The operator's catalogue has no model_fn of this name.")
        if self._auto and any(args.get(name) for name in COLUMN_ARGUMENTS):
            self._mistakes.add("/columns", 'Give either feature columns or "columns": "auto".')
        return copy.deepcopy(args)

    def _data_set(self, at: str, dataset_id: str) -> DatasetInfo | None:
        data = self._datasets(dataset_id)
        if data is None:
            self._mistakes.add(at + "/dataset", "There is no data set with this id.")
        elif data.rows == 0:
            self._mistakes.add(at + "/dataset", "The data set has no rows.")
        return data

    def _weight(self, args: Json, train: Json, data: DatasetInfo) -> str | None:
        """The weight column, and its name set in the estimator or its heads."""
        at, name = "/data/train/weight", train["weight"]
        owners = _weighed(args)
        if name is None:
            at = "/estimator/args/weight_column"
            named = next((owner["weight_column"] for owner in owners if owner.get("weight_column") is not None), None)
            name = named["key"] if isinstance(named, dict) else named
        if name is None:
            return None
        column = data.column(name)
        if not estimators.takes(self._kind, "weight_column") and "head" not in args:
            self._mistakes.add(at, f"{self._kind} takes no weights.")
        elif column is None:
            self._mistakes.add(at, f"The data set has no column {quote_name(name)}.")
        elif not is_number(column) or is_sequence(column) or width(column) > 1:
            self._mistakes.add(at, f"Weight column {quote_name(name)} must hold one number per row.")
        elif all_null(column, data.rows) or (column.get("nulls") and train["missing"].get(name) != "drop"):
            self._mistakes.add(at, f"Weight column {quote_name(name)} has nulls; mend them or drop these rows.")
        elif (column.get("min") or 0) < 0:
            self._mistakes.add(at, f"Weight column {quote_name(name)} has values under 0.")
        for owner in owners:
            if owner.get("weight_column") is None:
                owner["weight_column"] = name
        return str(name)

    def _taken(self, train: Json, weight: str | None) -> dict[str, str]:
        taken = {}
        for name in train["ignore"]:
            taken[name] = "in 'ignore'"
        if weight is not None:
            taken[weight] = "the weight"
        label = train["label"]
        for part in label.values() if isinstance(label, dict) else [label]:
            for name in [part] if isinstance(part, str) else part or ():
                taken[name] = "the label"
        return taken

    def _columns(self, args: Json, reading: Reading) -> None:
        """Note too many columns; where the estimator names none, every column that is left is a raw feature."""
        for i, name in enumerate(self._request["data"]["train"]["ignore"]):
            if reading.data.column(name) is None:
                reading.error(f"/data/train/ignore/{i}", f"The data set has no column {quote_name(name)}.")
        number = sum(len(args.get(name) or ()) for name in COLUMN_ARGUMENTS)
        if number > self._limits.max_columns:
            self._mistakes.add("/estimator/args", f"Has {number} feature columns; at most {self._limits.max_columns}.")
            self._mistakes.stop()
        if not any(estimators.takes(self._kind, name) for name in COLUMN_ARGUMENTS):
            for column in reading.data.columns:
                if column["name"] not in reading.taken and not all_null(column, reading.data.rows):
                    reading.uses.setdefault(column["name"], set()).add("raw")

    def _size(self, args: Json) -> None:
        number = parameters.count(args)
        if number > self._limits.max_parameters:
            detail = f"The model would have {number} parameters; at most {self._limits.max_parameters} are allowed."
            self._mistakes.add("/estimator/args", detail + " Use smaller layers, embeddings or hash buckets.")

    def _data(self, data: DatasetInfo, read: list[Json], labels: list[Json]) -> Json:
        asked = self._request["data"]
        train, holdout = dict(asked["train"]), asked["holdout"]
        train |= {"digest": data.digest, "part": "all" if holdout is None else "train"}
        if asked["eval"] is None:
            part = None
            if holdout is not None:
                part = {"dataset": data.id, "digest": data.digest, "label": train["label"], "labels": labels}
                part |= {"batch_size": max(256, train["batch_size"]), "part": "holdout"}
            return {"train": train, "eval": part, "holdout": holdout}
        if holdout is not None:
            self._mistakes.add("/data/holdout", "Give either 'eval' or 'holdout'.")
        other = self._data_set("/data/eval", asked["eval"]["dataset"])
        part = dict(asked["eval"])
        if other is not None:
            part["labels"] = labels if part["label"] is None else renamed(labels, part["label"], self._mistakes)
            part["digest"] = other.digest
            check_same_columns(other, read, part["labels"], "/data/eval", self._mistakes)
            if self._request["data"]["train"]["dataset"] == other.id:
                self._warnings.append("Evaluation runs on the training rows; give 'holdout' for an honest measure.")
        if part["part"] != "all":
            self._mistakes.add("/data/eval/part", "Give 'holdout' instead.")
        return {"train": train, "eval": part, "holdout": None}

    def _training(self, has_eval: bool, epochs: int | None) -> Json:
        """The fields `train warm_start_from export best_metric promote`, complete."""
        request, training = self._request, dict(self._request["train"])
        stopping, best, promote = training["early_stopping"], request["best_metric"], request["promote"]
        if training["max_steps"] is None and epochs is None:
            self._mistakes.add("/train/max_steps", "Give max_steps, or epochs in /data/train: else it never ends.")
        if training["save_checkpoints_steps"] is None:
            # A tenth of the job, so that a lost attempt costs little; not so often that saving is what costs.
            training["save_checkpoints_steps"] = min(10_000, max(100, (training["max_steps"] or 10_000) // 10))
        needs = {
            "/train/evaluate_every_steps": training["evaluate_every_steps"],
            "/train/early_stopping": stopping,
            "/export": request["export"] == "best",
            "/promote/when": promote and promote["when"],
        }
        for at, asked in needs.items():
            if asked and not has_eval:
                self._mistakes.add(at, "Needs evaluation data: give /data/eval or /data/holdout.")
        if (stopping or request["export"] == "best") and training["evaluate_every_steps"] is None:
            training["evaluate_every_steps"] = training["save_checkpoints_steps"]
        if stopping:
            training["early_stopping"] = stopping | {"mode": stopping["mode"] or metric_mode(stopping["metric"])}
        best = best or {"metric": "loss", "mode": None}
        check_gate(promote, self._mistakes)
        return {
            "train": training,
            "warm_start_from": self._warm_start(),
            "export": request["export"],
            "best_metric": {"metric": best["metric"], "mode": best["mode"] or metric_mode(best["metric"])},
            "promote": promote,
        }

    def _warm_start(self) -> Json | None:
        asked = self._request["warm_start_from"]
        if asked is None:
            return None
        source = find_source(asked, self._models, self._mistakes, "/warm_start_from")
        return None if source is None else source.reference()


def check_gate(promote: Json | None, mistakes: Mistakes) -> None:
    gate = promote and promote["when"]
    if gate and "at_least" not in gate and "at_most" not in gate:
        mistakes.add("/promote/when", "Give 'at_least' or 'at_most'.")


def _weighed(args: Json) -> list[Json]:
    """The dicts that hold a `weight_column`: the heads, or the arguments themselves."""
    if "head" not in args:
        return [args]
    heads, found = [args["head"]], []
    while heads:
        head = heads.pop()
        inner = head.get("heads") or ([head["static_head"]] if "static_head" in head else [])
        heads += inner
        if not inner:
            found.append(head)
    return found
