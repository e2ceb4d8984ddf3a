"""Polyaxon's additions to the Estimator: `Modes`, calls without `input_fn`, string paths of exports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..estimator import Estimator as _Estimator
from ..keys import ModeKeys


class Modes(ModeKeys):
    """Names of the modes; the values are `ModeKeys`'s, and one more that Polyaxon has."""

    GENERATE = "generate"
    ENCODE = "encode"


class Estimator:
    """Polyaxon's Estimator over ours.

    Args:
        model_fn: has one of the signatures `(features, labels, mode)`, `(…, params)`, `(…, params, config)`,
            `(…, params, config, model_dir)`; returns an `EstimatorSpec`.
        model_dir: directory of checkpoints and summaries.
        config: a `RunConfig`.
        params: handed to `model_fn`.

    Raises:
        ValueError: the arguments of `model_fn` don't match `params`.
    """

    def __init__(
        self,
        model_fn: Callable[..., Any],
        model_dir: str | None = None,
        config: Any = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        self._estimator = _Estimator(model_fn, model_dir=model_dir, config=config, params=params)

    @property
    def model_dir(self) -> str:
        return str(self._estimator.model_dir)

    @property
    def config(self) -> Any:
        return self._estimator.config

    @property
    def params(self) -> Any:
        return self._estimator.params

    @property
    def model_fn(self) -> Callable[..., Any]:
        return self._estimator.model_fn

    def train(
        self,
        input_fn: Callable[..., Any] | None = None,
        steps: int | None = None,
        hooks: Sequence[Any] | None = None,
        max_steps: int | None = None,
    ) -> Estimator:
        """As `est.Estimator.train`; without `input_fn`, `model_fn` gets no features and no labels and makes its own
        input. Then `steps` or `max_steps` must say when to stop, or the input must end by itself.

        Returns:
            self, for chaining.
        """
        self._estimator.train(_given(input_fn), hooks=hooks, steps=steps, max_steps=max_steps)
        return self

    def evaluate(
        self,
        input_fn: Callable[..., Any] | None = None,
        steps: int | None = None,
        hooks: Sequence[Any] | None = None,
        checkpoint_path: str | None = None,
        name: str | None = None,
    ) -> dict[str, Any]:
        """As `est.Estimator.evaluate`.

        Raises:
            ValueError: nothing was trained yet, or the metrics are no dict.
        """
        path = self._trained(checkpoint_path)
        return dict(self._estimator.evaluate(_given(input_fn), steps, hooks, path, name))

    def predict(
        self,
        input_fn: Callable[..., Any] | None = None,
        predict_keys: Sequence[str] | None = None,
        hooks: Sequence[Any] | None = None,
        checkpoint_path: str | None = None,
    ) -> Iterator[Any]:
        """As `est.Estimator.predict`.

        Raises:
            ValueError: nothing was trained yet, batch lengths differ, or `predict_keys` do not fit the predictions.
        """
        path = self._trained(checkpoint_path)
        yield from self._estimator.predict(_given(input_fn), predict_keys, hooks, path)

    def export_savedmodel(
        self,
        export_dir_base: str,
        serving_input_receiver_fn: Callable[[], Any],
        assets_extra: Mapping[str, str] | None = None,
        as_text: bool = False,
        checkpoint_path: str | None = None,
    ) -> str:
        """As `est.Estimator.export_saved_model`, but returns the path as a string.

        Raises:
            ValueError: no `serving_input_receiver_fn`, no export outputs, or no checkpoint.
        """
        path = self._estimator.export_saved_model(
            export_dir_base, serving_input_receiver_fn, assets_extra, as_text, checkpoint_path
        )
        return bytes(path).decode()

    def get_variable_value(self, name: str) -> Any:
        """Value of the variable `name` as a numpy array."""
        return self._estimator.get_variable_value(name)

    def get_variable_names(self) -> list[str]:
        """Names of all variables of the model."""
        return list(self._estimator.get_variable_names())

    def _trained(self, checkpoint_path: str | None) -> str:
        path = checkpoint_path or self._estimator.latest_checkpoint()
        if not path:
            raise ValueError(f"Could not find a trained model in model_dir {self.model_dir}; call train() first.")
        return str(path)


def _given(input_fn: Callable[..., Any] | None) -> Callable[..., Any]:
    return input_fn if input_fn is not None else _no_input


def _no_input() -> tuple[dict[str, Any], dict[str, Any]]:
    """No features and no labels, as often as anyone asks."""
    return {}, {}
