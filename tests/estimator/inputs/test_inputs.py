"""Columns as input, and what an input_fn may return."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator.linear_model import X, Y, by_hand, make, rows
from tf_estimator.inputs import column_packing, memory_map, zero_copy
from tf_estimator.inputs import shuffle as shuffle_module
from tf_estimator.inputs.input_fn import open_input
from tf_estimator.inputs.shuffle import Order, permuted
from tf_estimator.variables import VariableNames

v1 = tf.compat.v1


def batches(input_fn: Any, count: int = 100) -> list[Any]:
    """What the engine's source gives, as nests of numpy arrays."""
    source = input_fn.open_source()
    found = []
    while len(found) < count and source.limit(1):
        flat = source.next()
        source.advance(1)
        nest = tf.nest.pack_sequence_as(source.element_spec, flat, expand_composites=True)
        found.append(
            tf.nest.map_structure(
                lambda t: (tf.sparse.to_dense(t) if isinstance(t, tf.SparseTensor) else t).numpy(), nest
            )
        )
    return found


def mixed(**kwargs: Any) -> Any:
    features = {
        "number": np.arange(5, dtype=np.float32),
        "vector": np.arange(10, dtype=np.float32).reshape(5, 2),
        "matrix": np.arange(20, dtype=np.int64).reshape(5, 2, 2),
        "text": np.array(["a", None, "b", "a", b"c"], object),
        "coded": est.inputs.Dictionary(np.array([1, -1, 0, 0, 1], np.int32), [b"x", b"y"]),
        "tokens": est.inputs.Sequence(est.inputs.Dictionary(np.array([0, 1, -1]), ["p", "q"]), [0, 2, 2, 3, 3, 3]),
        "values": est.inputs.Sequence(np.array([1.5, 2.5, 3.5], np.float32), np.array([0, 0, 1, 1, 1, 3])),
    }
    return est.inputs.columns_input_fn(features, np.arange(5), batch_size=3, **kwargs)


def test_columns_of_all_kinds_come_in_batches() -> None:
    (first, labels), (second, rest) = batches(mixed(num_epochs=1))
    np.testing.assert_array_equal(labels, [0, 1, 2])
    np.testing.assert_array_equal(rest, [3, 4])
    np.testing.assert_array_equal(first["number"], [0, 1, 2])
    np.testing.assert_array_equal(second["vector"], [[6, 7], [8, 9]])
    np.testing.assert_array_equal(first["matrix"], np.arange(12).reshape(3, 2, 2))
    assert first["text"].tolist() == [b"a", b"", b"b"]
    assert second["text"].tolist() == [b"a", b"c"]
    assert first["coded"].tolist() == [b"y", b"", b"x"]
    assert first["tokens"].tolist() == [[b"p", b"q"], [b"", b""], [b"", b""]]
    assert second["tokens"].shape == (2, 0)
    np.testing.assert_array_equal(first["values"], [[0], [1.5], [0]])
    np.testing.assert_array_equal(second["values"], [[0, 0], [2.5, 3.5]])


def test_called_by_itself_it_is_the_same_dataset() -> None:
    dataset = mixed(num_epochs=1)()
    assert dataset.element_spec == mixed(num_epochs=1).open_source().element_spec
    for (features, labels), (expected, wanted) in zip(dataset, batches(mixed(num_epochs=1)), strict=True):
        np.testing.assert_array_equal(labels, wanted)
        np.testing.assert_array_equal(features["vector"], expected["vector"])
        np.testing.assert_array_equal(tf.sparse.to_dense(features["tokens"]), expected["tokens"])


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8, ">f4", np.bool_, "S3"])
def test_array_of_ours_becomes_a_tensor_of_the_same_values(dtype: Any) -> None:
    array = zero_copy.copied(np.arange(12).reshape(4, 3).astype(dtype))
    assert array.ctypes.data % 64 == 0 or array.dtype.kind not in "iuf" or array.dtype.byteorder == ">"
    tensor = zero_copy.as_tensor(array)
    np.testing.assert_array_equal(tensor.numpy(), array)
    aligned = zero_copy.empty((array.nbytes,), np.uint8).view(array.dtype).reshape(array.shape)
    aligned[...] = array
    np.testing.assert_array_equal(zero_copy.as_tensor(aligned).numpy(), array)
    gathered = tf.gather(tensor, [3, 0])  # aborts where a tensor is not aligned
    np.testing.assert_array_equal(gathered.numpy(), array[[3, 0]])
    shifted = np.concatenate([array.ravel()[:1], array.ravel()])[1:]
    np.testing.assert_array_equal(tf.gather(zero_copy.as_tensor(shifted), [1]).numpy(), shifted[[1]])
    assert zero_copy.as_tensor(zero_copy.empty((0, 3), dtype)).shape == (0, 3)


def test_tensors_keep_their_memory_alive_and_users_arrays_stay_theirs() -> None:
    x = np.zeros([64, 3], np.float32)
    made = est.inputs.columns_input_fn({"x": x}, batch_size=64)
    source = made.open_source()
    first = [part.numpy().copy() for part in source.next()]
    x[:] = 7  # after the columns were packed
    np.testing.assert_array_equal(source.next()[0], first[0])
    tensors = [zero_copy.as_tensor(zero_copy.copied(np.full(1 << 16, i))) for i in range(20)]
    assert [int(tf.reduce_max(tensor)) for tensor in tensors] == list(range(20))


def test_columns_too_big_for_memory_give_the_same_batches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    expected = batches(mixed(shuffle=True, seed=3), 9)
    monkeypatch.setattr(column_packing, "RESIDENT_BYTES", 10)
    assert mixed().resident() is None
    for (features, labels), (wanted, numbers) in zip(batches(mixed(shuffle=True, seed=3), 9), expected, strict=True):
        np.testing.assert_array_equal(labels, numbers)
        for name in features:
            np.testing.assert_array_equal(features[name], wanted[name], err_msg=name)
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    taken = batches(est.inputs.columns_input_fn({"x": mapped}, batch_size=64), 1)
    np.testing.assert_array_equal(taken[0]["x"], X)


@pytest.mark.parametrize("resident", [True, False])
def test_strings_of_a_mapped_file_are_not_encoded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, resident: bool
) -> None:
    words = np.array([b"a", b"", b"ccc", b"dd", b"\xff"])
    np.save(tmp_path / "words.npy", words)
    np.save(tmp_path / "pairs.npy", np.array([[b"p", b"q"]] * 5))
    if not resident:
        monkeypatch.setattr(column_packing, "RESIDENT_BYTES", 10)
    mapped_words = np.load(tmp_path / "words.npy", mmap_mode="r")
    columns = {
        "word": mapped_words,
        "narrow": np.load(tmp_path / "pairs.npy", mmap_mode="r"),
        "tokens": est.inputs.Sequence(mapped_words, np.array([0, 1, 1, 3, 4, 5])),
        "number": np.arange(5, dtype=np.float32),
        "coded": est.inputs.Dictionary(np.array([1, -1, 0, 0, 1], np.int32), [b"x", b"y"]),
    }
    made = est.inputs.columns_input_fn(columns, batch_size=3, num_epochs=1)
    assert not made.packing.compilable
    assert len(made.packing.words) == 1
    first, rest = batches(made)
    assert [*first["word"].tolist(), *rest["word"].tolist()] == words.tolist()
    assert first["narrow"].tolist() == [[b"p", b"q"]] * 3
    assert first["tokens"].tolist() == [[b"a", b""], [b"", b""], [b"", b"ccc"]]
    assert first["coded"].tolist() == [b"y", b"", b"x"]
    hashed = tf.feature_column.categorical_column_with_hash_bucket("word", 10)
    estimator = est.LinearRegressor([hashed], model_dir=str(tmp_path / "model"))
    shuffled = est.inputs.columns_input_fn({"word": mapped_words}, columns["number"], batch_size=3, shuffle=True)
    estimator.train(shuffled, max_steps=4)
    assert estimator.evaluate(made_with_labels(columns), steps=1)["global_step"] == 4


def made_with_labels(columns: dict[str, Any]) -> Any:
    return est.inputs.columns_input_fn({"word": columns["word"]}, columns["number"], batch_size=5, num_epochs=1)


def test_each_epoch_is_a_permutation_of_its_own() -> None:
    order = Order(10, 3, seed=5)
    epochs = [order.slice(10 * i, 10) for i in range(3)]
    assert all(sorted(e.tolist()) == list(range(10)) for e in epochs)
    assert len({tuple(e.tolist()) for e in epochs}) == 3
    np.testing.assert_array_equal(order.slice(7, 16), np.concatenate(epochs)[7:23])
    np.testing.assert_array_equal(Order(10, 3, seed=5).slice(25, 99), epochs[2][5:])
    np.testing.assert_array_equal(Order(4, None, None).slice(2, 6), [2, 3, 0, 1, 2, 3])


def test_order_of_many_rows_is_a_permutation_without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shuffle_module, "KEPT_ROWS", 100)
    for count in (101, 256, 4097):
        order = Order(count, 3, seed=5)
        epochs = [order.slice(count * i, count) for i in range(3)]
        assert all(sorted(e.tolist()) == list(range(count)) for e in epochs)
        assert len({tuple(e.tolist()) for e in epochs}) == 3
        np.testing.assert_array_equal(order.slice(7, count + 16), np.concatenate(epochs)[7 : count + 23])
        assert Order(count, 3, seed=6).slice(0, count).tolist() != epochs[0].tolist()


def test_order_of_many_rows_looks_random() -> None:
    # Of 10,000 rows in 10 tenths by place and by number 100 are expected in each cell; the sum of
    # (found - 100)^2 / 100 is near chi-squared with 81 degrees of freedom: 127 is exceeded once in a thousand times.
    for seed in range(3):
        found = permuted(np.arange(10_000, dtype=np.uint64), 10_000, seed, 0).astype(np.int64)
        cells = np.bincount(np.arange(10_000) // 1000 * 10 + found // 1000, minlength=100)
        assert ((cells - 100) ** 2 / 100).sum() < 127
        # neighbours in the order are none in the data: |difference| < 10 is expected 10,000 * 0.0019 = 19 times
        assert (np.abs(np.diff(found)) < 10).sum() < 50


def test_rows_of_a_mapped_file_are_taken_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_map, "CHUNK_BYTES", 64)
    values = np.arange(300, dtype=np.float32).reshape(100, 3)
    np.save(tmp_path / "x.npy", values)
    file = np.load(tmp_path / "x.npy", mmap_mode="r")
    rows = np.array([99, 0, 5, 5, 42, 99])
    np.testing.assert_array_equal(memory_map.RowSelection(rows).take(file), values[rows])
    np.testing.assert_array_equal(np.concatenate(list(memory_map.chunks(file))), values)


def test_batches_run_on_over_epochs_and_only_the_last_is_smaller() -> None:
    # 5 rows, twice, in batches of 3: 3 + 3 + 3 + 1.
    taken = batches(mixed(num_epochs=2))
    assert [len(labels) for _, labels in taken] == [3, 3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in taken]), [*range(5), *range(5)])
    assert [len(labels) for _, labels in batches(mixed(num_epochs=2, drop_remainder=True))] == [3, 3, 3]
    chosen = batches(mixed(num_epochs=1, rows=[4, 0]))
    assert [labels.tolist() for _, labels in chosen] == [[4, 0]]


def test_wrong_columns_are_refused() -> None:
    make_input = est.inputs.columns_input_fn
    with pytest.raises(ValueError, match="same number of rows"):
        make_input({"a": np.zeros(3), "b": np.zeros(4)}, batch_size=2)
    with pytest.raises(ValueError, match="no columns"):
        make_input({}, batch_size=2)
    with pytest.raises(ValueError, match="scalar"):
        make_input({"a": 1.0}, batch_size=2)
    with pytest.raises(ValueError, match="batch_size"):
        make_input({"a": np.zeros(3)}, batch_size=0)
    with pytest.raises(ValueError, match="num_epochs"):
        make_input({"a": np.zeros(3)}, batch_size=1, num_epochs=0)
    with pytest.raises(ValueError, match="between 0 and 2"):
        make_input({"a": np.zeros(3)}, batch_size=1, rows=[3])


def columns(**kwargs: Any) -> Any:
    return est.inputs.columns_input_fn({"x": X}, Y, batch_size=16, **kwargs)


def test_training_from_columns_equals_training_from_a_dataset(tmp_path: Path) -> None:
    for name, steps in (("a", 37), ("b", 1)):
        estimator = make(tmp_path / name).train(columns(), steps=steps)
        np.testing.assert_allclose(estimator.get_variable_value("w"), by_hand(steps), rtol=1e-4, atol=1e-6)
        assert estimator.evaluate(columns(num_epochs=1)) == estimator.evaluate(rows(1))
        assert len(list(estimator.predict(est.inputs.columns_input_fn({"x": X}, batch_size=10, num_epochs=1)))) == 64


def test_empty_columns_are_an_empty_input(tmp_path: Path) -> None:
    with pytest.raises(est.EmptyInputError):
        make(tmp_path).train(columns(rows=[]), steps=1)
    with pytest.raises(est.EmptyInputError):
        make(tmp_path).evaluate(columns(rows=[], num_epochs=1))


def test_input_of_tensors_is_evaluated_at_each_step(tmp_path: Path) -> None:
    def constants() -> Any:
        return {"x": tf.constant(X[:16])}, tf.constant(Y[:16])

    estimator = make(tmp_path / "a").train(constants, steps=4)
    w = np.zeros([3, 1], np.float32)
    for _ in range(4):
        w = w - 0.1 * 2 / 16 * X[:16].T @ (X[:16] @ w - Y[:16])
    np.testing.assert_allclose(estimator.get_variable_value("w"), w, rtol=1e-4)
    assert estimator.evaluate(constants, steps=3)["global_step"] == 4


def test_v1_iterators_end_the_input(tmp_path: Path) -> None:
    def one_shot() -> Any:
        return v1.data.make_one_shot_iterator(rows(2)()).get_next()

    estimator = make(tmp_path).train(one_shot)
    assert estimator.get_variable_value("global_step") == 8
    assert estimator.evaluate(one_shot) == estimator.evaluate(rows(2))
    assert len(list(estimator.predict(one_shot))) == 128

    class Start(v1.train.SessionRunHook):
        def after_create_session(self, session: Any, coord: Any) -> None:
            session.run(self.iterator.initializer)

    start = Start()

    def initializable() -> Any:
        start.iterator = v1.data.make_initializable_iterator(rows(2)())
        return start.iterator.get_next()

    assert estimator.train(initializable, hooks=[start]).get_variable_value("global_step") == 16


def test_sparse_and_ragged_features_reach_the_model(tmp_path: Path) -> None:
    def model(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
        assert isinstance(features["s"], tf.SparseTensor)
        assert isinstance(features["r"], tf.RaggedTensor)
        total = tf.sparse.reduce_sum(features["s"], 1) + tf.reduce_sum(features["r"], 1)
        return est.EstimatorSpec(mode, predictions=total)

    def input_fn() -> Any:
        sparse = tf.sparse.from_dense([[1.0, 0.0], [2.0, 3.0], [0.0, 0.0]])
        ragged = tf.ragged.constant([[10.0], [], [20.0, 30.0]])
        return tf.data.Dataset.from_tensor_slices({"s": sparse, "r": ragged}).batch(2)

    assert list(make(tmp_path, model=model).predict(input_fn)) == [11, 5, 50]


def test_dataset_with_a_lookup_table_works(tmp_path: Path) -> None:
    def input_fn() -> Any:
        keys, values = tf.constant(["a", "b"]), tf.constant([1, 2], tf.int64)
        table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), 0)
        return tf.data.Dataset.from_tensor_slices(["b", "a", "z"]).batch(3).map(lambda t: {"x": table.lookup(t)})

    def model(features: Any, mode: str) -> est.EstimatorSpec:
        table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant([1, 2], tf.int64), tf.constant([b"one", b"two"])), b"none"
        )
        return est.EstimatorSpec(mode, predictions=table.lookup(features["x"]))

    assert list(make(tmp_path, model=model).predict(input_fn)) == [b"two", b"one", b"none"]


def test_large_constants_of_a_dataset_keep_their_places(tmp_path: Path) -> None:
    # More bytes than a constant may have inside a function: a table's words, a mapped function's constant, and one
    # that a small one waits for.
    words = [f"word {i}" for i in range(5000)]

    def input_fn() -> Any:
        table = tf.lookup.StaticVocabularyTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant(words), tf.range(5000, dtype=tf.int64)), 1
        )
        weights = tf.constant(np.arange(5001, dtype=np.float32))
        with tf.control_dependencies([weights]):
            count = tf.constant(3, tf.int64)
        rows = tf.data.Dataset.from_tensor_slices(tf.constant([*words[::-1], "other"])).take(count).batch(2)
        return rows.map(lambda t: {"x": tf.gather(weights, table.lookup(t))})

    def model(features: Any, mode: str) -> est.EstimatorSpec:
        return est.EstimatorSpec(mode, predictions=features["x"])

    assert list(make(tmp_path, model=model).predict(input_fn)) == [4999, 4998, 4997]


@pytest.mark.parametrize("mapped", [False, True])
def test_dataset_is_asked_directly_where_it_runs_no_function(mapped: bool) -> None:
    def input_fn() -> Any:
        rows = tf.data.Dataset.from_tensor_slices({"x": np.arange(6)}).shuffle(6, seed=1).batch(2).cache().repeat(2)
        return (rows.map(lambda batch: batch) if mapped else rows).prefetch(1)

    graph = tf.Graph()
    source, _ = open_input(input_fn, graph, VariableNames(), {})
    batch = tf.function(lambda: source.batch(tf.constant(0), source.block(tf.constant(1), source.arguments())))
    made = batch.get_concrete_function()
    operations = {op.type for op in made.graph.get_operations()}

    assert operations & {"IteratorGetNext", "IteratorGetNextSync"} == {
        "IteratorGetNext" if mapped else "IteratorGetNextSync"
    }
    taken = np.concatenate([made()[0].numpy() for _ in range(6)])
    assert sorted(taken) == sorted([*range(6), *range(6)])
    with pytest.raises(tf.errors.OutOfRangeError):
        made()


def open_dataset(make: Any) -> Any:
    """The source of the data set that `make` makes of the numbers 0 to 6."""
    return open_input(lambda: make(tf.data.Dataset.range(7)), tf.Graph(), VariableNames(), {})[0]


def reads_without_prefetch(source: Any) -> bool:
    return b"without prefetch" in source.state()["fingerprint"]


@pytest.mark.parametrize(
    ("make", "read"),
    [
        (lambda d: d.batch(2).cache().prefetch(2), True),
        (lambda d: d.batch(2).cache().repeat(3).skip(1).take(5).prefetch(1), True),
        (lambda d: d.batch(2).prefetch(2), False),  # batches are made meanwhile
        (lambda d: d.map(lambda x: x * 2).batch(2).cache().prefetch(2), False),  # so are they in the first pass
        (lambda d: d.batch(2).cache().shuffle(2, seed=1).prefetch(2), False),
        (lambda d: d.batch(2).cache().prefetch(2).take(2), False),
    ],
)
def test_batches_kept_in_memory_are_read_without_a_thread(make: Any, read: bool) -> None:
    def rest(source: Any) -> list[list[int]]:
        found = []
        with contextlib.suppress(StopIteration):
            while True:
                found.append(source.next()[0].numpy().tolist())
        return found

    source = open_dataset(make)
    first = source.next()[0].numpy().tolist()
    state = source.state()
    assert reads_without_prefetch(source) is read
    left = rest(source)
    assert [first, *left] == [batch.tolist() for batch in make(tf.data.Dataset.range(7)).as_numpy_iterator()]
    again = open_dataset(make)
    assert again.restore(state)
    assert rest(again) == left


def test_batches_kept_in_a_file_are_read_beforehand(tmp_path: Path) -> None:
    assert not reads_without_prefetch(open_dataset(lambda d: d.batch(2).cache(str(tmp_path / "kept")).prefetch(2)))
