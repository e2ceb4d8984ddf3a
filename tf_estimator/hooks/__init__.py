"""Session-run hooks (`est.hooks`).

May import of the engine's folders: `checkpoint`, `estimator`, `graph`, `training`. Start with `session_run_hook.py`.
"""

from ..training.builtin_hooks import BeforeCheckpointHook, KeepInputPosition
from .checkpoint_saver import CheckpointSaverHook, CheckpointSaverListener
from .feed_fn import FeedFnHook
from .final_ops import FinalOpsHook
from .global_step_waiter import GlobalStepWaiterHook
from .in_memory_evaluator import InMemoryEvaluatorHook
from .logging_tensor import LoggingTensorHook
from .nan_tensor import NanTensorHook
from .profiler import ProfilerHook
from .session_run_hook import SessionRunArgs, SessionRunContext, SessionRunHook, SessionRunValues
from .step_counter import StepCounterHook
from .stop_at_step import StopAtStepHook
from .summary_saver import SummarySaverHook
from .timer import SecondOrStepTimer

__all__ = [
    "BeforeCheckpointHook",
    "KeepInputPosition",
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
