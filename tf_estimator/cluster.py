"""The cluster that `TF_CONFIG` describes, and this process's task in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_EVALUATOR = "evaluator"
_LOCAL = "worker"


@dataclass(frozen=True)
class Cluster:
    """Tasks by job name.

    Attributes:
        jobs: job name ('chief', 'master', 'worker', 'ps') to addresses; empty for a local run.
        task_type, task_id: this process.
    """

    jobs: dict[str, list[str]]
    task_type: str = _LOCAL
    task_id: int = 0

    @classmethod
    def from_tf_config(cls, tf_config: dict[str, Any], *, needs_chief: bool = False) -> Cluster:
        """The cluster of a parsed `TF_CONFIG`; an evaluator is in none.

        Args:
            tf_config: the parsed value.
            needs_chief: whether workers alone are no cluster; with a distribution strategy they are.

        Raises:
            ValueError: no chief, more than one, a task that is not in the cluster, or a task without a cluster.
        """
        jobs = {str(name): _addresses(tasks) for name, tasks in (tf_config.get("cluster") or {}).items()}
        task = tf_config.get("task") or {}
        task_type, task_id = task.get("type"), int(task.get("index", 0))
        if task_id < 0:
            raise ValueError(f"TF_CONFIG: task index must not be negative, it is {task_id}.")
        if not jobs:
            task_type = task_type or _LOCAL
            if task_type != _LOCAL or task_id != 0:
                raise ValueError(f"TF_CONFIG: task {task_type}:{task_id} needs a `cluster` that lists it.")
            return cls({}, task_type, 0)
        if not task_type:
            raise ValueError('TF_CONFIG has a cluster but no task type; add "task": {"type": …, "index": …}.')
        leaders = len(jobs.get("chief", [])) + len(jobs.get("master", []))
        if leaders > 1:
            raise ValueError("TF_CONFIG: the cluster must have exactly one chief.")
        if leaders == 0 and (needs_chief or not jobs.get("worker")):
            raise ValueError(
                'TF_CONFIG: the cluster has no chief; call one of its tasks "chief" (workers alone are a cluster with '
                "RunConfig(train_distribute=tf.distribute.MultiWorkerMirroredStrategy()))."
            )
        if "index" not in task:
            raise ValueError('TF_CONFIG has a cluster but no task index; add "task": {"type": …, "index": …}.')
        if task_type == _EVALUATOR:
            return cls({}, _EVALUATOR, task_id)
        if task_id >= len(jobs.get(task_type, [])):
            raise ValueError(f"TF_CONFIG: task {task_type}:{task_id} is not in the cluster {sorted(jobs)}.")
        return cls(jobs, task_type, task_id)

    def count(self, job: str) -> int:
        return len(self.jobs.get(job, []))

    @property
    def num_workers(self) -> int:
        """Workers and chief; 1 for a local run, 0 for an evaluator next to a cluster."""
        if not self.jobs:
            return 0 if self.task_type == _EVALUATOR else 1
        return self.count("chief") + self.count("master") + self.count("worker")

    @property
    def is_chief(self) -> bool:
        if self.task_type in {"chief", "master"}:
            return True
        has_leader = self.count("chief") + self.count("master") > 0
        return self.task_type == "worker" and self.task_id == 0 and not has_leader

    @property
    def global_id(self) -> int | None:
        """Position of this task over all jobs in the order chief, master, worker, ps; None for an evaluator."""
        if self.task_type == _EVALUATOR:
            return None
        order = [job for job in ("chief", "master", "worker", "ps") if self.count(job)]
        order += sorted(job for job in self.jobs if job not in order)
        before = 0
        for job in order:
            if job == self.task_type:
                break
            before += self.count(job)
        return before + self.task_id

    def master(self, protocol: str | None) -> str:
        """Session target of this task: '' for a local run or a cluster of this task alone."""
        if not self.jobs or self.task_type == _EVALUATOR or sum(map(len, self.jobs.values())) == 1:
            return ""
        return f"{protocol or 'grpc'}://{self.jobs[self.task_type][self.task_id]}"


def _addresses(tasks: Any) -> list[str]:
    return [str(tasks[key]) for key in sorted(tasks)] if isinstance(tasks, dict) else [str(t) for t in tasks]
