"""Run as a program: trains in forked children, kills them at random moments, and starts anew until the goal is reached.

It reads a task per line, as JSON: `model` (a key of `MODELS`), `directory`, `steps`, `kills`, `seed`; and answers each
with a line: `kills` done, `torn` (how many of them hit a checkpoint that was being written), `attempts`. The directory
then holds the model and `losses`, a line "step loss" for every step that was ever done, repeated ones included.

TensorFlow is imported once and forked before its first operation, when it has no threads of its own yet.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import tf_estimator as est  # first: so TensorFlow is imported in three quarters of the time

# isort: split
import numpy as np
import tensorflow as tf

from tf_estimator.training import saver

fc = tf.feature_column
v1 = tf.compat.v1
ROWS = 512
SAVE_STEPS = 5
#: A write of the model takes about as long as so many seconds of steps, so that many kills hit one.
STEP_S = 0.002
#: Of the file of losses, about: "123 0x1.7a3d0e0000000p-1\n".
LINE_BYTES = 25
PATIENCE_S = 60


class WriteLosses(v1.train.SessionRunHook):
    """Appends each step and its loss, all digits of it, to a file; `next_step` only if `every` is more than 1."""

    def __init__(self, path: Path, every: int) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        if every > 1:
            self.next_step = lambda step: (step // every + 1) * every

    def begin(self) -> None:
        graph = v1.get_default_graph()
        self._loss = graph.get_collection(v1.GraphKeys.LOSSES)[-1]
        self._step = v1.train.get_global_step(graph)

    def before_run(self, run_context: Any) -> Any:
        return v1.train.SessionRunArgs(self._loss)

    def after_run(self, run_context: Any, run_values: Any) -> None:
        step = int(run_context.session.run(self._step))
        os.write(self._file, f"{step} {float(run_values.results).hex()}\n".encode())
        time.sleep(STEP_S)


def arrays() -> tuple[dict[str, Any], Any]:
    """Numbers, words, sequences of words, and a label that depends on the numbers."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(ROWS, 4)).astype(np.float32)
    lengths = rng.integers(1, 9, ROWS)
    splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    words = np.array([f"w{i}".encode() for i in range(50)], object)
    features = {f"x{i}": np.ascontiguousarray(x[:, i]) for i in range(4)}
    features["word"] = words[rng.integers(0, 50, ROWS)]
    tokens = est.inputs.Sequence(words[rng.integers(0, 50, splits[-1])], splits)
    return {**features, "tokens": tokens}, (x.sum(1) > 0).astype(np.int64)


def _columns(*names: str) -> Any:
    features, labels = arrays()
    return est.inputs.columns_input_fn({n: features[n] for n in names}, labels, batch_size=16, shuffle=True, seed=5)


def _dataset() -> tf.data.Dataset:
    features, labels = arrays()
    dense = {name: column for name, column in features.items() if name != "tokens"}
    data = tf.data.Dataset.from_tensor_slices((dense, labels))
    return data.shuffle(100, seed=1).repeat().batch(16).prefetch(1)


DENSE = ("x0", "x1", "x2", "x3", "word")


def _numbers() -> list[Any]:
    return [fc.numeric_column(f"x{i}") for i in range(4)]


def _word(name: str = "word") -> Any:
    return fc.categorical_column_with_hash_bucket(name, 5000)


def _dnn(directory: str, config: est.RunConfig) -> est.Estimator:
    columns = [*_numbers(), fc.embedding_column(_word(), 16)]
    return est.DNNClassifier([32, 16], columns, directory, optimizer="Adam", dropout=0.3, config=config)


def _combined(directory: str, config: est.RunConfig) -> est.Estimator:
    return est.DNNLinearCombinedClassifier(
        directory,
        linear_feature_columns=[_word()],
        dnn_feature_columns=[*_numbers(), fc.embedding_column(_word(), 16)],
        dnn_hidden_units=[16],
        config=config,
    )


def _rnn(directory: str, config: est.RunConfig) -> est.Estimator:
    tokens = fc.embedding_column(fc.sequence_categorical_column_with_hash_bucket("tokens", 5000), 16)
    return est.experimental.RNNClassifier([tokens], units=[8], cell_type="lstm", model_dir=directory, config=config)


#: name: estimator, input function, steps between two noted losses (1: every step runs by itself).
MODELS: dict[str, tuple[Any, Any, int]] = {
    "DNNClassifier": (_dnn, lambda: _columns(*DENSE), 1),
    "DNNClassifier in the loop": (_dnn, lambda: _columns(*DENSE), 20),
    "DNNClassifier on tf.data": (_dnn, lambda: _dataset, 1),
    "DNNLinearCombinedClassifier": (_combined, lambda: _columns(*DENSE), 1),
    "RNNClassifier": (_rnn, lambda: _columns("tokens"), 1),
}


def train(task: dict[str, Any]) -> None:
    """One attempt, to its end."""
    saver.BACKGROUND_BYTES = 0  # every checkpoint but the last is written in the background
    make, input_of, every = MODELS[task["model"]]
    config = est.RunConfig(
        tf_random_seed=11, save_checkpoints_steps=SAVE_STEPS, save_summary_steps=None, log_step_count_steps=None
    )
    hook = WriteLosses(Path(task["directory"]) / "losses", every)
    make(f"{task['directory']}/model", config).train(input_of(), max_steps=task["steps"], hooks=[hook])


def attempt(task: dict[str, Any]) -> int:
    """Starts `train` in a child; its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        train(task)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _ended(child: int) -> bool:
    """Whether a child has done its training; False while it runs.

    Raises:
        RuntimeError: it failed.
    """
    found, status = os.waitpid(child, os.WNOHANG)
    if found and status:
        raise RuntimeError(f"A training ended with status {status}; its error is above.")
    return found == child


def _writing(directory: Path) -> bool:
    """Whether there is a part of a checkpoint that is not complete."""
    return any((directory / "model").glob("*.tmp-*"))


def _stopped_while_writing(child: int, directory: Path) -> bool:
    """Whether a child is stopped now with a checkpoint that it can't complete any more; one that just has goes on."""
    if not _writing(directory):
        return False
    os.kill(child, signal.SIGSTOP)
    os.waitid(os.P_PID, child, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    if _writing(directory):
        return True
    os.kill(child, signal.SIGCONT)
    return False


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _kill(child: int, directory: Path, every: int, chance: random.Random, torn: bool) -> bool:
    """Kills a child some random time after up to three checkpoints' steps; False if it had ended before.

    Args:
        torn: whether to wait then for a checkpoint that is being written.
    """
    losses = directory / "losses"
    lines = chance.randrange(1, 3 * SAVE_STEPS) // every + 1
    enough, until = _size(losses) + lines * LINE_BYTES, time.monotonic() + PATIENCE_S
    while _size(losses) < enough:
        if _ended(child):
            return False
        if time.monotonic() > until:
            raise RuntimeError("A training did no step.")
        time.sleep(0.0005)
    time.sleep(chance.uniform(0, 4 * STEP_S))
    while torn and not _stopped_while_writing(child, directory):
        if _ended(child):
            return False
    if _ended(child):
        return False
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def run(task: dict[str, Any]) -> dict[str, int]:
    """Trains to the goal, with `kills` kills on the way."""
    directory, chance, every = Path(task["directory"]), random.Random(task["seed"]), MODELS[task["model"]][2]
    directory.mkdir(parents=True)
    done = {"kills": 0, "torn": 0, "attempts": 0}
    while True:
        done["attempts"] += 1
        child = attempt(task)
        if done["kills"] < task["kills"]:
            if not _kill(child, directory, every, chance, torn=done["kills"] % 4 == 1):
                return done
            done["kills"] += 1
            done["torn"] += _writing(directory)
            continue
        _, status = os.waitpid(child, 0)
        if status:
            raise RuntimeError(f"A training ended with status {status}; its error is above.")
        return done


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
