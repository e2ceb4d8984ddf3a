"""Session-run hooks (`est.hooks`)."""

from workers.estimator.hooks.checkpoint_saver import CheckpointSaverHook, CheckpointSaverListener
from workers.estimator.hooks.feed_fn import FeedFnHook
from workers.estimator.hooks.final_ops import FinalOpsHook
from workers.estimator.hooks.global_step_waiter import GlobalStepWaiterHook
from workers.estimator.hooks.in_memory_evaluator import InMemoryEvaluatorHook
from workers.estimator.hooks.logging_tensor import LoggingTensorHook
from workers.estimator.hooks.nan_tensor import NanTensorHook
from workers.estimator.hooks.profiler import ProfilerHook
from workers.estimator.hooks.session_run_hook import (
    SessionRunArgs,
    SessionRunContext,
    SessionRunHook,
    SessionRunValues,
)
from workers.estimator.hooks.step_counter import StepCounterHook
from workers.estimator.hooks.stop_at_step import StopAtStepHook
from workers.estimator.hooks.summary_saver import SummarySaverHook
from workers.estimator.hooks.timer import SecondOrStepTimer

__all__ = [
    "CheckpointSaverHook",
    "CheckpointSaverListener",
    "FeedFnHook",
    "FinalOpsHook",
    "GlobalStepWaiterHook",
    "InMemoryEvaluatorHook",
    "LoggingTensorHook",
    "NanTensorHook",
    "ProfilerHook",
    "SecondOrStepTimer",
    "SessionRunArgs",
    "SessionRunContext",
    "SessionRunHook",
    "SessionRunValues",
    "StepCounterHook",
    "StopAtStepHook",
    "SummarySaverHook",
]
