"""Columns too big to be held packed: windows of their rows, gathered ahead; and columns that are taken over."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tests.waiting import wait_for
from tf_estimator.inputs import column_gathering, column_packing, columns_input, windows, zero_copy

ROWS, BATCH = 500, 16


def columns() -> dict[str, Any]:
    """Columns of several dtypes, among them one in another byte order, one with gaps, and rows of two numbers."""
    random = np.random.default_rng(0)
    made: dict[str, Any] = {f"x{i}": random.normal(size=ROWS).astype(np.float32) for i in range(5)}
    made["big endian"] = np.arange(ROWS).astype(">f4")
    made["gaps"] = np.arange(2 * ROWS, dtype=np.float32)[::2]
    made["whole"] = np.arange(ROWS)
    made["flag"] = np.arange(ROWS) % 3 == 0
    made["pair"] = random.normal(size=(ROWS, 2)).astype(np.float32)
    return made


def make_input(features: dict[str, Any] | None = None, **how: Any) -> Any:
    labels = np.arange(ROWS, dtype=np.float32)
    return est.inputs.columns_input_fn(columns() if features is None else features, labels, batch_size=BATCH, **how)


def batches(source: Any, count: int = 10_000) -> list[list[Any]]:
    found = []
    while len(found) < count and source.limit(1):
        found.append([part.numpy() for part in source.next()])
        source.advance(1)
    return found


def assert_equal(one: list[list[Any]], other: list[list[Any]]) -> None:
    assert len(one) == len(other) > 0
    for parts, wanted in zip(one, other, strict=True):
        for part, value in zip(parts, wanted, strict=True):
            np.testing.assert_array_equal(part, value)


@pytest.fixture(params=[False, True], ids=["one core", "two cores"])
def windowed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Windows of a few batches."""
    monkeypatch.setattr(column_packing, "RESIDENT_BYTES", 10)
    monkeypatch.setattr(windows, "WINDOW_BYTES", 5000)
    monkeypatch.setattr(windows, "has_second_core", lambda: request.param)
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "columns-ahead"]


@pytest.mark.usefixtures("windowed")
@pytest.mark.parametrize("part", [1 / 1000, 100])
def test_windows_give_the_batches_that_columns_in_memory_give(monkeypatch: pytest.MonkeyPatch, part: float) -> None:
    # 3 * 500 rows in batches of 16: 93 batches and one of 12, which drop_remainder leaves out.
    monkeypatch.setattr(column_gathering, "_READ_THROUGH", part)
    for how in ({"num_epochs": 3}, {"num_epochs": 3, "drop_remainder": True}, {"rows": np.arange(0, ROWS, 3)}):
        made = make_input(shuffle=True, seed=4, **how)
        assert made.windowed
        source = made.open_source()
        found = batches(source, 100)
        source.close()
        with monkeypatch.context() as whole:
            whole.setattr(column_packing, "RESIDENT_BYTES", 1 << 20)
            assert_equal(found, batches(make_input(shuffle=True, seed=4, **how).open_source(), 100))


@pytest.mark.usefixtures("windowed")
def test_training_from_windows_equals_training_from_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def trained(
        name: str, jit: bool = False, resident: int = 10, block: int = 1 << 15, turned: int = 99, hooks: Any = ()
    ) -> Any:
        monkeypatch.setattr(column_packing, "RESIDENT_BYTES", resident)
        monkeypatch.setattr(columns_input, "_TURNED_COLUMNS", turned)
        monkeypatch.setattr(columns_input, "_WIDE_BATCH_BYTES", block)
        numbers = [tf.feature_column.numeric_column(f"x{i}") for i in range(5)]
        numbers.append(tf.feature_column.numeric_column("pair", shape=2))
        config = est.RunConfig(tf_random_seed=1, jit_compile=jit)
        estimator = est.DNNRegressor([4], numbers, model_dir=str(tmp_path / name), config=config)
        data = {name: column for name, column in columns().items() if name[0] in "xp"}
        estimator.train(make_input(data, shuffle=True, seed=2), max_steps=101, hooks=hooks)
        return estimator.get_variable_value("dnn/hiddenlayer_0/kernel")

    expected = trained("memory", resident=1 << 20)
    np.testing.assert_array_equal(trained("wide", resident=1 << 20, block=1), expected)
    np.testing.assert_array_equal(trained("windows"), expected)
    np.testing.assert_array_equal(trained("turned", turned=5), expected)
    np.testing.assert_array_equal(trained("hooked", turned=5, hooks=[est.SessionRunHook()]), expected)
    np.testing.assert_allclose(trained("compiled", jit=True), expected, rtol=1e-4, atol=1e-6)


def test_window_is_a_part_of_shuffled_columns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(column_packing, "RESIDENT_BYTES", 10)
    monkeypatch.setattr(windows, "WINDOW_BYTES", 1 << 10)
    x = np.arange(64_000, dtype=np.float32)  # 256,000 bytes: a 32nd is 8,000, which are 2,000 rows; half of them 32,000
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for two, shuffle, column, expected in (
        (False, False, x, 250),
        (False, True, x, 32_000),
        (True, True, x, 16_000),
        (False, True, mapped, 2_000),
    ):
        monkeypatch.setattr(windows, "has_second_core", lambda two=two: two)
        made = est.inputs.columns_input_fn({"x": column}, batch_size=10, shuffle=shuffle, seed=1)
        source = made.open_source()
        assert source.arguments()[1].shape[0] == expected
        source.close()


def test_memory_of_a_window_is_taken_again_once_nothing_refers_to_it() -> None:
    memory = zero_copy.ReusedMemory()
    first = memory.empty((1000, 16), np.float32)
    place = first.ctypes.data
    first[:] = 1
    tensor = zero_copy.as_tensor(first)
    del first
    second = memory.empty((1000, 16), np.float32)
    assert second.ctypes.data != place
    rest = tensor[10:]  # it may share the memory
    del tensor
    assert float(tf.reduce_sum(rest)) == 990 * 16
    del rest
    third = memory.empty((999, 16), np.float32)
    assert third.ctypes.data == place
    fourth = memory.empty((10, 16), np.int64)
    assert not {fourth.ctypes.data} & {second.ctypes.data, third.ctypes.data}
    last = weakref.ref(third)
    memory.close()
    del third
    assert last() is None
    assert memory.empty((10, 10), ">f4").dtype == ">f4"  # such an array has no memory to share


@pytest.mark.usefixtures("windowed")
def test_source_is_resumed_in_the_middle_of_a_window() -> None:
    source = make_input(shuffle=True).open_source()
    batches(source, 7)
    state = source.state()
    rest = batches(source, 30)
    again = make_input(shuffle=True).open_source()
    batches(again, 3)  # of another order
    assert again.restore(state)
    assert_equal(batches(again, 30), rest)
    source.close()
    again.close()
    assert_equal(batches(again, 1), batches(source, 1))  # a closed source goes on where it was
    source.close()
    again.close()


def test_error_while_rows_are_gathered_ahead_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_packing, "RESIDENT_BYTES", 10)
    monkeypatch.setattr(windows, "WINDOW_BYTES", 5000)
    monkeypatch.setattr(windows, "has_second_core", lambda: True)
    source = make_input().open_source()
    source.next()

    def fail(*_: Any) -> Any:
        raise MemoryError("no memory")

    monkeypatch.setattr(column_packing, "gather_batches", fail)
    with pytest.raises(MemoryError, match="no memory"):
        batches(source)


def test_forgotten_source_ends_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_packing, "RESIDENT_BYTES", 10)
    monkeypatch.setattr(windows, "WINDOW_BYTES", 5000)
    monkeypatch.setattr(windows, "has_second_core", lambda: True)
    source = make_input().open_source()
    gathering = threading.Event()
    stopped: list[threading.Event] = []

    def wait(*given: Any) -> Any:
        stop = given[-1]
        if stop is not None:
            stopped.append(stop)
            gathering.set()
            assert stop.wait(60)
        return column_gathering.gather_batches(*given)

    monkeypatch.setattr(column_packing, "gather_batches", wait)
    source.next()
    assert gathering.wait(60)
    del source
    gc.collect()
    assert stopped[0].is_set()
    wait_for(lambda: not [t for t in threading.enumerate() if t.name == "columns-ahead"])


def test_columns_that_are_taken_over_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = batches(make_input(shuffle=True, seed=3, num_epochs=1).open_source())
    monkeypatch.setattr(column_packing, "RESIDENT_BYTES", 10)
    features = {"outer": columns(), "last": np.zeros(ROWS)}
    first = weakref.ref(features["outer"]["x0"])
    last = features["last"]
    made = make_input(features, shuffle=True, seed=3, num_epochs=1, take_over=True)
    assert features == {}
    assert first() is None
    assert not made.windowed
    without_last = [[part for part in parts if part.dtype != np.float64] for parts in batches(made.open_source())]
    assert_equal(without_last, expected)
    np.testing.assert_array_equal(last, np.zeros(ROWS))  # an array that is held elsewhere stays as it is
    assert len(batches(made.open_source())) == len(expected)


def test_taking_over_needs_a_dict() -> None:
    with pytest.raises(ValueError, match="take_over needs a dict"):
        est.inputs.columns_input_fn(np.zeros(3), batch_size=1, take_over=True)
