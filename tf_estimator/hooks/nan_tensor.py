"""`NanTensorHook`: watches a loss."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import tensorflow as tf

from ..errors import NanLossDuringTrainingError

_v1 = tf.compat.v1
_log = logging.getLogger("tf_estimator")


class NanTensorHook(tf.compat.v1.train.NanTensorHook):  # type: ignore[misc]
    """Ends training when a tensor holds a NaN. `Estimator.train` watches the loss by itself, in the graph; this hook
    is for another tensor, or for stopping without an error, and reads the tensor at every step.

    Args:
        loss_tensor: the tensor to watch.
        fail_on_nan_loss: raise; otherwise ask to stop.
    """

    def __init__(self, loss_tensor: Any, fail_on_nan_loss: bool = True) -> None:
        super().__init__(loss_tensor, fail_on_nan_loss)
        self.loss_tensor, self.fail_on_nan_loss = loss_tensor, fail_on_nan_loss

    def before_run(self, run_context: Any) -> Any:
        return _v1.train.SessionRunArgs(self.loss_tensor)

    def after_run(self, run_context: Any, run_values: Any) -> None:
        """Stops or fails the training when the tensor holds a NaN.

        Raises:
            NanLossDuringTrainingError: the tensor holds a NaN and `fail_on_nan_loss` is set.
        """
        if not np.any(np.isnan(run_values.results)):
            return
        message = f"{self.loss_tensor.name} holds a NaN: lower the learning rate, or look for bad input."
        if self.fail_on_nan_loss:
            raise NanLossDuringTrainingError(message)
        _log.warning("%s Training stops.", message)
        run_context.request_stop()
