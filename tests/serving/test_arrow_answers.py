"""Streams that are put together here are those that Arrow would have written."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from app.serving.arrow_answers import ArrowAnswers
from app.serving.arrow_body import encode_arrow
from app.serving.large_body import LargeBodyReader
from app.serving.tensors import encode_outputs


class CountedReader(LargeBodyReader):
    """Writes streams in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    async def encode_arrow(self, outputs: bytes) -> bytes:
        self.asked += 1
        return encode_arrow(outputs)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "int64", "uint64", "float32", "float64"])
@pytest.mark.parametrize("shape", [(1,), (3,), (7, 5), (1000, 3), (2, 3, 4)])
def test_stream_of_numbers_is_arrows_and_arrow_is_asked_twice(dtype: str, shape: tuple[int, ...]) -> None:
    reader, random = CountedReader(), np.random.default_rng(1)
    answers = ArrowAnswers(reader)
    for _ in range(4):
        values = (random.normal(size=shape) * 50).astype(dtype)
        outputs = encode_outputs(["values", "zeros"], [values, np.zeros(shape[0], "int64")])
        assert asyncio.run(answers.encode(outputs)) == encode_arrow(outputs)
    assert reader.asked == 2  # for the first one, and for what stands before the values


@pytest.mark.parametrize(
    "values",
    [np.array([True, False, True]), np.array([b"a", b"b"], object), np.zeros((0, 3), "float32"), np.ones(3, "float16")],
    ids=["bits", "strings", "no rows", "halves"],
)
def test_other_outputs_are_left_to_arrow(values: Any) -> None:
    reader = CountedReader()
    answers = ArrowAnswers(reader)
    outputs = encode_outputs(["values"], [values])
    for _ in range(3):
        assert asyncio.run(answers.encode(outputs)) == encode_arrow(outputs)
    assert reader.asked == 3


def test_many_numbers_of_rows_are_forgotten() -> None:
    reader = CountedReader()
    answers = ArrowAnswers(reader)
    for count in range(1, 600):
        outputs = encode_outputs(["values"], [np.arange(count)])
        assert asyncio.run(answers.encode(outputs)) == encode_arrow(outputs)
    assert len(answers._begins) <= 256
