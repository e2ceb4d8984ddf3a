"""Exporters: strategies that say which evaluated checkpoints become exports."""

from __future__ import annotations

import abc
import inspect
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from typing import Any

from .. import eval_events
from ..keys import MetricKeys
from .directory import export_directories

_log = logging.getLogger(__name__)


def loss_smaller(best_eval_result: Mapping[str, Any], current_eval_result: Mapping[str, Any]) -> bool:
    """Whether the current evaluation has the smaller `loss`.

    Raises:
        ValueError: a result is empty or holds no loss.
    """
    for what, result in (("best_eval_result", best_eval_result), ("current_eval_result", current_eval_result)):
        if not result or MetricKeys.LOSS not in result:
            raise ValueError(f"{what} must hold {MetricKeys.LOSS!r}; give a compare_fn of your own for other metrics.")
    return bool(best_eval_result[MetricKeys.LOSS] > current_eval_result[MetricKeys.LOSS])


class Exporter(abc.ABC):
    """Decides, after an evaluation, whether and how to export."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """Directory name of its exports below `model_dir/export`."""

    @abc.abstractmethod
    def export(
        self,
        estimator: Any,
        export_path: str,
        checkpoint_path: str,
        eval_result: Mapping[str, Any],
        is_the_final_export: bool,
    ) -> Any:
        """Exports `checkpoint_path` below `export_path`, or not.

        Args:
            estimator: the `Estimator`.
            export_path: the directory of this exporter's exports.
            checkpoint_path: the checkpoint that was evaluated.
            eval_result: what `evaluate` returned.
            is_the_final_export: whether training has ended.

        Returns:
            the path of the export, None where there is none.
        """


class _SavedModelExporter(Exporter):
    """What the exporters of this file share: they call `export_saved_model` and remove old exports."""

    def __init__(
        self,
        name: str,
        serving_input_receiver_fn: Callable[[], Any] | None,
        assets_extra: Mapping[str, str] | None,
        as_text: bool,
        exports_to_keep: int | None,
    ) -> None:
        if serving_input_receiver_fn is None:
            raise ValueError(f"{type(self).__name__} needs a serving_input_receiver_fn, see est.export.build_….")
        if exports_to_keep is not None and exports_to_keep <= 0:
            raise ValueError(f"exports_to_keep must be a positive number, or None to keep all, not {exports_to_keep}.")
        self._name = name
        self._serving_input_receiver_fn = serving_input_receiver_fn
        self._assets_extra = assets_extra
        self._as_text = as_text
        self._exports_to_keep = exports_to_keep

    @property
    def name(self) -> str:
        return self._name

    def _save(self, estimator: Any, export_path: str, checkpoint_path: str) -> Any:
        path = estimator.export_saved_model(
            export_path,
            self._serving_input_receiver_fn,
            assets_extra=self._assets_extra,
            as_text=self._as_text,
            checkpoint_path=checkpoint_path,
        )
        self._remove_old(export_path)
        return path

    def _remove_old(self, export_path: str) -> None:
        if self._exports_to_keep is None:
            return
        for directory in export_directories(export_path)[: -self._exports_to_keep]:
            try:
                shutil.rmtree(directory)
            except OSError as error:  # someone may be reading it; the next export tries again
                _log.warning("Could not remove the old export %s: %s", directory, error)


class FinalExporter(_SavedModelExporter):
    """Exports once, when training has ended.

    Args:
        name: name of the exporter.
        serving_input_receiver_fn: see `Estimator.export_saved_model`.
        assets_extra, as_text: see `Estimator.export_saved_model`.

    Raises:
        ValueError: no `serving_input_receiver_fn`.
    """

    def __init__(
        self,
        name: str,
        serving_input_receiver_fn: Callable[[], Any],
        assets_extra: Mapping[str, str] | None = None,
        as_text: bool = False,
    ) -> None:
        super().__init__(name, serving_input_receiver_fn, assets_extra, as_text, None)

    def export(
        self,
        estimator: Any,
        export_path: str,
        checkpoint_path: str,
        eval_result: Mapping[str, Any],
        is_the_final_export: bool,
    ) -> Any:
        return self._save(estimator, export_path, checkpoint_path) if is_the_final_export else None


class LatestExporter(_SavedModelExporter):
    """Exports after every evaluation and keeps the newest few.

    Args:
        name: name of the exporter.
        serving_input_receiver_fn: see `Estimator.export_saved_model`.
        assets_extra, as_text: see `Estimator.export_saved_model`.
        exports_to_keep: how many exports stay, None for all.

    Raises:
        ValueError: no `serving_input_receiver_fn`, or `exports_to_keep` is not positive.
    """

    def __init__(
        self,
        name: str,
        serving_input_receiver_fn: Callable[[], Any],
        assets_extra: Mapping[str, str] | None = None,
        as_text: bool = False,
        exports_to_keep: int | None = 5,
    ) -> None:
        super().__init__(name, serving_input_receiver_fn, assets_extra, as_text, exports_to_keep)

    def export(
        self,
        estimator: Any,
        export_path: str,
        checkpoint_path: str,
        eval_result: Mapping[str, Any],
        is_the_final_export: bool,
    ) -> Any:
        return self._save(estimator, export_path, checkpoint_path)


class BestExporter(_SavedModelExporter):
    """Exports the first evaluation of a run, and then whenever one is better than all before, earlier runs included.

    Args:
        name: name of the exporter.
        serving_input_receiver_fn: see `Estimator.export_saved_model`.
        event_file_pattern: glob below `model_dir` of the event files that hold the evaluations of earlier runs;
            None starts afresh.
        compare_fn: `(best_eval_result, current_eval_result) -> bool`, whether the current one is better; smaller loss
            by default.
        assets_extra, as_text: see `Estimator.export_saved_model`.
        exports_to_keep: how many exports stay, None for all.

    Raises:
        ValueError: no `serving_input_receiver_fn`, wrong arguments of `compare_fn`, or `exports_to_keep` not positive.
    """

    def __init__(
        self,
        name: str = "best_exporter",
        serving_input_receiver_fn: Callable[[], Any] | None = None,
        event_file_pattern: str | None = "eval/*.tfevents.*",
        compare_fn: Callable[..., bool] = loss_smaller,
        assets_extra: Mapping[str, str] | None = None,
        as_text: bool = False,
        exports_to_keep: int | None = 5,
    ) -> None:
        super().__init__(name, serving_input_receiver_fn, assets_extra, as_text, exports_to_keep)
        _check_compare_fn(compare_fn)
        self._compare_fn = compare_fn
        self._event_file_pattern = event_file_pattern
        self._best: Mapping[str, Any] | None = None
        self._model_dir: str | None = None

    def export(
        self,
        estimator: Any,
        export_path: str,
        checkpoint_path: str,
        eval_result: Mapping[str, Any],
        is_the_final_export: bool,
    ) -> Any:
        first = self._model_dir != estimator.model_dir
        if first:
            self._model_dir = estimator.model_dir
            self._best = self._earlier_best(estimator.model_dir, eval_result)
        if self._best is None or self._better(self._best, eval_result):
            self._best = dict(eval_result)
        elif not first:  # A run's first evaluation is exported even so: there might be no export at all otherwise.
            return None
        return self._save(estimator, export_path, checkpoint_path)

    def _better(self, best: Mapping[str, Any], current: Mapping[str, Any]) -> bool:
        return self._compare_fn(best_eval_result=best, current_eval_result=current)

    def _earlier_best(self, model_dir: str, current: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if not self._event_file_pattern:
            return None
        best: Mapping[str, Any] | None = None
        for step, result in eval_events.read(os.path.join(model_dir, self._event_file_pattern)).items():  # noqa: PTH118
            # The evaluation that is being judged is in the event files already.
            if step != current.get("global_step") and (best is None or self._better(best, result)):
                best = result
        return best


def _check_compare_fn(compare_fn: Any) -> None:
    if not callable(compare_fn):
        raise ValueError(f"compare_fn must be a function of two evaluation results, not {compare_fn!r}.")
    wanted = {"best_eval_result", "current_eval_result"}
    arguments = set(inspect.signature(compare_fn).parameters)
    if not wanted <= arguments:
        raise ValueError(f"compare_fn must have the arguments {sorted(wanted)}; it has {sorted(arguments)}.")
