"""The methods of `Estimator` that export; what they do is in `tf_estimator.export`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..graph.threads import outside_graphs
from ..keys import ModeKeys
from . import saved_model


class Exports:
    """Base of `Estimator`."""

    def export_saved_model(
        self,
        export_dir_base: str,
        serving_input_receiver_fn: Callable[[], Any],
        assets_extra: Mapping[str, str] | None = None,
        as_text: bool = False,
        checkpoint_path: str | None = None,
        experimental_mode: str = ModeKeys.PREDICT,
    ) -> bytes:
        """Writes a SavedModel for inference (or another single mode) into a new directory below `export_dir_base`.

        Args:
            export_dir_base: where the timestamped directory is made.
            serving_input_receiver_fn: returns a `ServingInputReceiver` or `TensorServingInputReceiver`.
            assets_extra: destination inside `assets.extra` to the full path of the file to copy there.
            as_text: write the text form.
            checkpoint_path: the checkpoint to export, None for the latest.
            experimental_mode: the mode to export.

        Returns:
            The path of the export as bytes.

        Raises:
            ValueError: no `serving_input_receiver_fn`, no export outputs, or no checkpoint.
        """
        return self.experimental_export_all_saved_models(
            export_dir_base, {experimental_mode: serving_input_receiver_fn}, assets_extra, as_text, checkpoint_path
        )

    @outside_graphs
    def export_savedmodel(
        self,
        export_dir_base: str,
        serving_input_receiver_fn: Callable[[], Any],
        assets_extra: Mapping[str, str] | None = None,
        as_text: bool = False,
        checkpoint_path: str | None = None,
        strip_default_attrs: bool = False,
    ) -> bytes:
        """As `export_saved_model`, by its old name.

        Args:
            export_dir_base, serving_input_receiver_fn, assets_extra, as_text, checkpoint_path: as there.
            strip_default_attrs: leave attributes with default values out of the graph.

        Returns:
            The path of the export as bytes.

        Raises:
            ValueError: no `serving_input_receiver_fn`, no export outputs, or no checkpoint.
        """
        receivers = {ModeKeys.PREDICT: serving_input_receiver_fn}
        return saved_model.export(
            self, export_dir_base, receivers, assets_extra, as_text, checkpoint_path, strip_default_attrs
        )

    @outside_graphs
    def experimental_export_all_saved_models(
        self,
        export_dir_base: str,
        input_receiver_fn_map: Mapping[str, Callable[[], Any]],
        assets_extra: Mapping[str, str] | None = None,
        as_text: bool = False,
        checkpoint_path: str | None = None,
    ) -> bytes:
        """Writes a SavedModel with a MetaGraph for each mode and one set of variables.

        Args:
            export_dir_base: where the timestamped directory is made.
            input_receiver_fn_map: mode to a function that returns its input receiver.
            assets_extra, as_text, checkpoint_path: as in `export_saved_model`.

        Returns:
            The path of the export as bytes.

        Raises:
            ValueError: an input receiver function is None, no export outputs, or no checkpoint.
        """
        return saved_model.export(self, export_dir_base, input_receiver_fn_map, assets_extra, as_text, checkpoint_path)
