"""`RunConfig`: where and how an Estimator runs, and the cluster that `TF_CONFIG` describes."""

from __future__ import annotations

import copy
import inspect
import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from .cluster import Cluster


class _Default:
    """Marks "not given" for the two checkpoint intervals, of which only one may be set."""

    def __repr__(self) -> str:
        return "default"


_DEFAULT = _Default()

_FIELDS = (
    "model_dir",
    "tf_random_seed",
    "save_summary_steps",
    "save_checkpoints_steps",
    "save_checkpoints_secs",
    "session_config",
    "keep_checkpoint_max",
    "keep_checkpoint_every_n_hours",
    "log_step_count_steps",
    "train_distribute",
    "device_fn",
    "protocol",
    "eval_distribute",
    "experimental_distribute",
    "experimental_max_worker_delay_secs",
    "session_creation_timeout_secs",
    "checkpoint_save_graph_def",
    "jit_compile",
    "mixed_precision",
    "background_checkpoints",
)


class RunConfig:
    """Settings of a run. The fields are fixed; `replace` makes a changed copy.

    Args:
        model_dir: directory of checkpoints and summaries; `TF_CONFIG`'s `model_dir` if None.
        tf_random_seed: seed of initial values, shuffling and the model's random ops, Keras layers included; None draws
            one per process.
        save_summary_steps: steps between summaries; None or 0 for none.
        save_checkpoints_steps: steps between checkpoints; excludes `save_checkpoints_secs`.
        save_checkpoints_secs: seconds between checkpoints; 600 if neither is given. Both None: only at start and end.
        session_config: a `tf.compat.v1.ConfigProto`. An Estimator applies its thread counts where TensorFlow has not
            started yet; a log line says what is not used.
        keep_checkpoint_max: how many recent checkpoints to keep; None or 0 keeps all.
        keep_checkpoint_every_n_hours: besides those, keep one per so many hours.
        log_step_count_steps: steps between log lines of loss and steps/s; None for none.
        train_distribute: a `tf.distribute.MirroredStrategy` (several devices), `MultiWorkerMirroredStrategy` (several
            processes, with `TF_CONFIG`) or `OneDeviceStrategy`; None for one device of TensorFlow's choice. Each
            replica takes batches of its own, so the global batch is the input's batch times the replicas; gradients
            and loss are averaged, and the results are those of one device with the global batch, up to rounding.
        eval_distribute: a `MirroredStrategy` or `OneDeviceStrategy` for `evaluate`, or None.
        device_fn: maps an operation to a device string, applied while model_fn is traced.
        protocol: protocol of the servers, None for grpc.
        experimental_distribute: a `DistributeConfig`-like object whose `train_distribute` and `eval_distribute` are
            used where the arguments of that name are None. A `remote_cluster` is refused.
        experimental_max_worker_delay_secs: not used: workers start together, none after a delay.
        session_creation_timeout_secs: not used: there is no session to wait for; TensorFlow's collective operations
            have timeouts of their own.
        checkpoint_save_graph_def: whether `graph.pbtxt` and a `.meta` file per checkpoint are written.
        jit_compile: whether a training on `columns_input_fn` with dense numbers runs many steps in one program compiled
            by XLA, on one replica. Faster for small models in long trainings, for compiling takes some seconds; results
            agree within rounding. XLA leaves out run-time checks such as that of the range of labels.
        mixed_precision: "bfloat16" lets the fully connected networks of the canned estimators multiply in bfloat16
            while they train, with variables, sums and everything else in float32. Faster on processors with
            instructions for it.
        background_checkpoints: whether a model of some megabytes is written by a second thread while the training goes
            on. It takes as much memory again as the variables have, until the files are complete. Not where a
            checkpoint listener is to see each checkpoint at its step (see `CheckpointSaverListener`).

    Raises:
        ValueError: a value out of range, both checkpoint intervals set, or a `TF_CONFIG` that is not valid.
    """

    def __init__(
        self,
        model_dir: str | os.PathLike[str] | None = None,
        tf_random_seed: int | None = None,
        save_summary_steps: int | None = 100,
        save_checkpoints_steps: Any = _DEFAULT,
        save_checkpoints_secs: Any = _DEFAULT,
        session_config: Any = None,
        keep_checkpoint_max: int | None = 5,
        keep_checkpoint_every_n_hours: float | None = 10000,
        log_step_count_steps: int | None = 100,
        train_distribute: Any = None,
        device_fn: Callable[[Any], str] | None = None,
        protocol: str | None = None,
        eval_distribute: Any = None,
        experimental_distribute: Any = None,
        experimental_max_worker_delay_secs: int | None = None,
        session_creation_timeout_secs: int = 7200,
        checkpoint_save_graph_def: bool = True,
        jit_compile: bool = False,
        mixed_precision: str | None = None,
        background_checkpoints: bool = True,
    ) -> None:
        if save_checkpoints_steps is _DEFAULT and save_checkpoints_secs is _DEFAULT:
            save_checkpoints_steps, save_checkpoints_secs = None, 600
        elif save_checkpoints_secs is _DEFAULT:
            save_checkpoints_secs = None
        elif save_checkpoints_steps is _DEFAULT:
            save_checkpoints_steps = None
        tf_config = _read_tf_config()
        strategy = train_distribute or getattr(experimental_distribute, "train_distribute", None)
        self._cluster = Cluster.from_tf_config(tf_config, needs_chief=strategy is None)
        self._session_master = tf_config.get("session_master")
        self._eval_session_master = tf_config.get("eval_session_master")
        self._service = _checked_service(tf_config.get("service"))
        given = locals()
        self._fields = {name: given[name] for name in _FIELDS}
        self._fields["model_dir"] = _model_dir(model_dir, tf_config.get("model_dir"))
        _check(self._fields)

    def replace(self, **kwargs: Any) -> RunConfig:
        """A copy with the given fields changed.

        Raises:
            ValueError: an unknown field, a value out of range, or both checkpoint intervals set.
        """
        unknown = sorted(set(kwargs) - set(_FIELDS))
        if unknown:
            raise ValueError(f"RunConfig has no field {unknown}; fields that can be replaced: {list(_FIELDS)}.")
        intervals = {
            "save_checkpoints_steps": "save_checkpoints_secs",
            "save_checkpoints_secs": "save_checkpoints_steps",
        }
        for this, other in intervals.items():
            if kwargs.get(this) is not None and other not in kwargs:
                kwargs[other] = None
        made = copy.copy(self)
        made._fields = {**self._fields, **kwargs}
        made._fields["model_dir"] = _model_dir(made._fields["model_dir"], None)
        _check(made._fields)
        return made

    def __getattr__(self, name: str) -> Any:
        # Only reached for names that are no ordinary attribute: the fields of the constructor.
        fields = self.__dict__.get("_fields", {})
        if name in fields:
            return fields[name]
        raise AttributeError(f"RunConfig has no attribute {name!r}.")

    def __setattr__(self, name: str, value: Any) -> None:
        # Attributes of one's own, and those of a subclass, are welcome.
        if name in _FIELDS or isinstance(getattr(type(self), name, None), property):
            raise AttributeError(f"The fields of a RunConfig are fixed; use config.replace({name}=…).")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return "RunConfig(" + ", ".join(f"{k}={v!r}" for k, v in self._fields.items()) + ")"

    @property
    def cluster_spec(self) -> tf.train.ClusterSpec:
        """The cluster of `TF_CONFIG`, empty without one."""
        return tf.train.ClusterSpec(self._cluster.jobs)

    @property
    def task_type(self) -> str:
        """'chief', 'worker', 'ps' or 'evaluator'; 'worker' without a cluster."""
        return self._cluster.task_type

    @property
    def task_id(self) -> int:
        return self._cluster.task_id

    @property
    def is_chief(self) -> bool:
        """Whether this process writes checkpoints and summaries."""
        return self._cluster.is_chief

    @property
    def num_ps_replicas(self) -> int:
        return self._cluster.count("ps")

    @property
    def num_worker_replicas(self) -> int:
        """Number of workers, the chief included; 1 without a cluster."""
        return self._cluster.num_workers

    @property
    def global_id_in_cluster(self) -> int | None:
        """A number that is this task's alone in the cluster (chief, workers, ps in order); None for an evaluator."""
        return self._cluster.global_id

    @property
    def master(self) -> str:
        """Target of this task in the cluster, '' for a local run."""
        return (
            str(self._session_master)
            if self._session_master is not None
            else self._cluster.master(self._fields["protocol"])
        )

    @property
    def evaluation_master(self) -> str:
        return "" if self._cluster.jobs else str(self._eval_session_master or "")

    @property
    def service(self) -> dict[str, Any] | None:
        """What `TF_CONFIG` says under `service`, else None."""
        return self._service


def _checked_service(service: Any) -> dict[str, Any] | None:
    if service is not None and not isinstance(service, dict):
        raise TypeError(f"`service` in TF_CONFIG must be a JSON object, not {service!r}.")
    return service


def _read_tf_config() -> dict[str, Any]:
    text = os.environ.get("TF_CONFIG") or "{}"
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"The environment variable TF_CONFIG is not valid JSON: {error}.") from error
    if not isinstance(value, dict):
        raise ValueError("The environment variable TF_CONFIG must hold a JSON object.")
    return value


def _model_dir(given: Any, of_environment: str | None) -> str | None:
    if given is not None:
        given = os.fspath(given)
    if given == "" or of_environment == "":
        raise ValueError("model_dir must not be empty; leave it out for a temporary directory.")
    if given and of_environment and given != of_environment:
        raise ValueError(
            f"model_dir is {given!r} in the constructor but {of_environment!r} in TF_CONFIG; give one, or the same."
        )
    return given or of_environment


def _check(fields: dict[str, Any]) -> None:
    if fields["save_checkpoints_steps"] is not None and fields["save_checkpoints_secs"] is not None:
        raise ValueError("Give either save_checkpoints_steps or save_checkpoints_secs, not both.")
    lower_bounds = {
        "save_summary_steps": 0,
        "save_checkpoints_steps": 0,
        "save_checkpoints_secs": 0,
        "keep_checkpoint_max": 0,
        "log_step_count_steps": 1,
        "session_creation_timeout_secs": 1,
        "experimental_max_worker_delay_secs": 0,
    }
    for name, low in lower_bounds.items():
        value = fields[name]
        if value is not None and not value >= low:
            raise ValueError(f"RunConfig.{name} must be {'positive' if low else 'at least 0'}, not {value!r}.")
    hours = fields["keep_checkpoint_every_n_hours"]
    if hours is not None and not hours > 0:
        raise ValueError("RunConfig.keep_checkpoint_every_n_hours must be positive.")
    seed = fields["tf_random_seed"]
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int | np.integer)):
        raise ValueError(f"RunConfig.tf_random_seed must be an integer, not {seed!r}.")
    device_fn = fields["device_fn"]
    if device_fn is not None and not (callable(device_fn) and list(inspect.signature(device_fn).parameters) == ["op"]):
        raise ValueError("RunConfig.device_fn must be a function of one argument `op` that returns a device string.")
    session_config = fields["session_config"]
    if session_config is not None and not isinstance(session_config, tf.compat.v1.ConfigProto):
        raise ValueError(f"RunConfig.session_config must be a tf.compat.v1.ConfigProto, not {session_config!r}.")
    if fields["mixed_precision"] not in {None, "bfloat16"}:
        raise ValueError(f"RunConfig.mixed_precision must be 'bfloat16' or None, not {fields['mixed_precision']!r}.")
    if fields["protocol"] not in {None, "grpc", "grpc+verbs"}:
        raise ValueError(f"RunConfig.protocol must be 'grpc' or 'grpc+verbs', not {fields['protocol']!r}.")
