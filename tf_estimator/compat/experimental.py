"""`est.experimental`: what `tf.estimator.experimental` held."""

from ..canned.rnn import RNNClassifier, RNNEstimator
from ..early_stopping import (
    make_early_stopping_hook,
    make_stop_at_checkpoint_step_hook,
    read_eval_metrics,
    stop_if_higher_hook,
    stop_if_lower_hook,
    stop_if_no_decrease_hook,
    stop_if_no_increase_hook,
)
from ..export.receiver_fn import build_raw_supervised_input_receiver_fn
from ..hooks.in_memory_evaluator import InMemoryEvaluatorHook
from .logit_fns import call_logit_fn, dnn_logit_fn_builder, linear_logit_fn_builder
from .missing import getter

__all__ = [
    "InMemoryEvaluatorHook",
    "RNNClassifier",
    "RNNEstimator",
    "build_raw_supervised_input_receiver_fn",
    "call_logit_fn",
    "dnn_logit_fn_builder",
    "linear_logit_fn_builder",
    "make_early_stopping_hook",
    "make_stop_at_checkpoint_step_hook",
    "read_eval_metrics",
    "stop_if_higher_hook",
    "stop_if_lower_hook",
    "stop_if_no_decrease_hook",
    "stop_if_no_increase_hook",
]

__getattr__ = getter("tf_estimator.experimental", "experimental.")
