"""What an input costs in resident memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_COLUMNS_ON_DISK = """
import pathlib, resource, sys
import numpy as np
import tf_estimator as est  # first: so it imports TensorFlow in three quarters of the time
import tensorflow as tf

directory, columns = pathlib.Path(sys.argv[1]), {}
for number in range(50):
    np.save(directory / f"{number}.npy", np.full(1_000_000, number, np.float32))
    columns[f"c{number}"] = np.load(directory / f"{number}.npy", mmap_mode="r")
np.save(directory / "name.npy", np.char.add(b"user-", np.arange(1_000_000).astype("S9")))
columns["name"] = np.load(directory / "name.npy", mmap_mode="r")  # as many words as rows: nothing to be encoded
hashed = tf.feature_column.categorical_column_with_hash_bucket("name", 1000)
features = [tf.feature_column.numeric_column(name) for name in columns if name != "name"]
features.append(tf.feature_column.embedding_column(hashed, 4))
estimator = est.DNNRegressor([8], features, model_dir=str(directory / "model"))
idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
data = est.inputs.columns_input_fn(columns, columns["c1"], batch_size=128, shuffle=True, seed=1)
estimator.train(data, max_steps=4000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle)
"""


_ARRAYS_IN_A_DATASET = """
import resource, sys
import numpy as np
import tf_estimator as est  # first: so it imports TensorFlow in three quarters of the time
import tensorflow as tf

x, y = np.random.rand(100_000, 100).astype(np.float32), np.zeros(100_000, np.float32)
estimator = est.LinearRegressor([tf.feature_column.numeric_column("x", shape=(100,))], model_dir=sys.argv[1])
idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
estimator.train(lambda: tf.data.Dataset.from_tensor_slices(({"x": x}, y)).repeat().batch(128), max_steps=50)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle)
"""


def grown_mib(program: str, directory: Path) -> float:
    """By how much the peak of a program's resident memory grows while it trains in `directory`."""
    command = [sys.executable, "-W", "ignore", "-c", program, str(directory)]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout.splitlines()[-1]) / 1024


def test_two_hundred_megabytes_of_columns_train_in_bounded_memory(tmp_path: Path) -> None:
    # 50 columns of 1,000,000 float32, 200 MB, and 14 MB of names; 4,000 batches of 128 rows visit half of the rows.
    assert grown_mib(_COLUMNS_ON_DISK, tmp_path) < 400  # measured: 255


def test_arrays_that_an_input_fn_slices_are_not_kept_many_times(tmp_path: Path) -> None:
    # 40 MB, which stand in the graph of input_fn for a while.
    assert grown_mib(_ARRAYS_IN_A_DATASET, tmp_path) < 200  # measured: 115; 624 while they stood in a function
