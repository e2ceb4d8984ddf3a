"""Answers in Arrow's stream format, most of them without a word to the process that has Arrow.

A stream with one record batch of numbers is what Arrow says of names, types and places, and then the values. The first
part depends on nothing but names, dtypes and shapes, so Arrow is asked for it once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from app.serving.large_body import LargeBodyReader
from app.serving.tensors import Tensor, decode_outputs, encode_outputs

_PLAIN = frozenset(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)) | {"float32", "float64"}
_MOST_KINDS = 256
_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""The end of a stream: a continuation, and a message of no length."""
_ALIGNED = 8

_Kind = tuple[tuple[str, str, tuple[int, ...]], ...]


class ArrowAnswers:
    """Outputs as streams, byte by byte as `app.serving.arrow_body.encode_arrow` makes them."""

    def __init__(self, reader: LargeBodyReader) -> None:
        self._reader = reader
        self._begins: dict[_Kind, bytes | None] = {}  # None: seen once

    async def encode(self, outputs: bytes) -> bytes:
        """The stream.

        Args:
            outputs: as the predictor sends them (`Form.TENSORS`).
        """
        tensors = decode_outputs(outputs)
        if not all(tensor.dtype in _PLAIN and tensor.values.size for tensor in tensors.values()):
            return await self._reader.encode_arrow(outputs)
        kind = tuple((name, tensor.dtype, tensor.shape) for name, tensor in tensors.items())
        begin = self._begins.get(kind)
        if begin is None:
            if kind not in self._begins:  # clients may have another number of rows each time
                if len(self._begins) >= _MOST_KINDS:
                    self._begins.clear()
                self._begins[kind] = None
                return await self._reader.encode_arrow(outputs)
            begin = self._begins[kind] = await self._begin(tensors)
        return begin + _values(tensors)

    async def _begin(self, tensors: dict[str, Tensor]) -> bytes:
        """What stands before the values, of a stream whose values have no zero byte to be taken for padding."""
        ones: list[Any] = [
            np.full(tensor.values.nbytes, 0xFF, np.uint8).view(tensor.dtype).reshape(tensor.shape)
            for tensor in tensors.values()
        ]
        stream = await self._reader.encode_arrow(encode_outputs(list(tensors), ones))
        values = _values(
            {name: Tensor(one.dtype.name, one.shape, one) for name, one in zip(tensors, ones, strict=True)}
        )
        if not stream.endswith(values):
            raise RuntimeError("Arrow lays its streams out in another way than this release of it did.")
        return stream[: -len(values)]


def _values(tensors: dict[str, Tensor]) -> bytes:
    """The columns' values, each up to a multiple of eight bytes, and the end."""
    parts: list[bytes] = []
    for tensor in tensors.values():
        values = tensor.values.tobytes()
        parts += [values, bytes(-len(values) % _ALIGNED)]
    return b"".join([*parts, _END])
