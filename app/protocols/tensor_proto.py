"""TensorFlow's TensorProto as a tensor, and back.

Values stand in `tensor_content` or in the dtype's own field, as the format allows; fewer values than the shape has
elements are filled up with the last one. What a tensor unfolds to is bounded before it is made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidInput, TooLarge, quote_name
from app.protocols.tfs_schema import PUBLIC
from app.protocols.varints import LONGEST_VARINT, decode_varints, encode_varints
from app.serving.tensors import Tensor

_MOST_DIMENSIONS = 32
_REFERENCE = 8
_HALVES = ("float16", "bfloat16")


class _Kind(NamedTuple):
    """How the values of a dtype stand in a TensorProto.

    Attributes:
        number: of the dtype on the wire.
        field: that has the values where `tensor_content` has none.
        varints: these are integers of variable length; else raw numbers of `stored`.
        stored: numpy's dtype of one value in `tensor_content`.
    """

    number: int
    field: str
    varints: bool
    stored: str


KINDS = {
    "float32": _Kind(1, "float_val", False, "<f4"),
    "float64": _Kind(2, "double_val", False, "<f8"),
    "int32": _Kind(3, "int_val", True, "<i4"),
    "uint8": _Kind(4, "int_val", True, "u1"),
    "int16": _Kind(5, "int_val", True, "<i2"),
    "int8": _Kind(6, "int_val", True, "i1"),
    "string": _Kind(7, "string_val", False, ""),
    "complex64": _Kind(8, "scomplex_val", False, "<c8"),
    "int64": _Kind(9, "int64_val", True, "<i8"),
    "bool": _Kind(10, "bool_val", True, "?"),
    "bfloat16": _Kind(14, "half_val", True, "<u2"),
    "uint16": _Kind(17, "int_val", True, "<u2"),
    "complex128": _Kind(18, "dcomplex_val", False, "<c16"),
    "float16": _Kind(19, "half_val", True, "<f2"),
    "uint32": _Kind(22, "uint32_val", True, "<u4"),
    "uint64": _Kind(23, "uint64_val", True, "<u8"),
}
_NAMES = {kind.number: name for name, kind in KINDS.items()}
_PLAIN = {
    kind.number: (name, np.dtype(kind.stored), None if kind.varints else kind.field)
    for name, kind in KINDS.items()
    if kind.stored and name != "bfloat16"
}
"""By number: name, how values are stored, and the field that has them as they are stored, where there is one."""
_TypedProto = PUBLIC.message("tensorflow.TensorProto")


def decode_protos(protos: Mapping[str, Any], most_bytes: int) -> dict[str, Tensor]:
    """The tensors of a request, which may take `most_bytes` together. Raises as `decode_proto` does."""
    found: dict[str, Tensor] = {}
    left = most_bytes
    for name, proto in protos.items():
        found[name] = _decode_plain(proto, left) or decode_proto(name, proto, left)
        left -= _bytes(found[name])
    return found


def _bytes(tensor: Tensor) -> int:
    if tensor.dtype != "string":
        return int(tensor.values.nbytes)
    return sum(map(len, tensor.values)) + _REFERENCE * len(tensor.values)


def _decode_plain(proto: Any, most_bytes: int) -> Tensor | None:
    """The tensor of a proto with as many raw numbers as its shape needs, as nearly all are; None for all others, also
    for those that are wrong."""
    plain = _PLAIN.get(proto.dtype)
    if plain is None:
        return None
    name, stored, field = plain
    shape = proto.tensor_shape
    if len(shape.dim) > _MOST_DIMENSIONS:
        return None
    sizes = tuple([dim.size for dim in shape.dim])
    content = proto.tensor_content
    if not content and field is not None and len(pieces := getattr(proto, field)) == 1:
        content = pieces[0]
    size = len(content)
    if (
        not size
        or size > most_bytes
        or not sizes
        or min(sizes) < 1
        or math.prod(sizes) * stored.itemsize != size
        or shape.unknown_rank
    ):
        return None
    values = np.frombuffer(content, stored)
    return Tensor(name, sizes, values if len(sizes) == 1 else values.reshape(sizes))


def decode_proto(name: str, proto: Any, most_bytes: int) -> Tensor:
    """The tensor of a request's TensorProto.

    Args:
        name: of the input, for messages.
        proto: a TensorProto of `tfs_schema.WIRE`.
        most_bytes: that its values may take.

    Raises:
        InvalidInput: shape, dtype and values do not fit each other.
        TooLarge: it takes more than `most_bytes`.
    """
    where = f"Input {quote_name(name)}"
    dtype = _NAMES.get(proto.dtype)
    if dtype is None:
        raise InvalidInput(f"{where} has a dtype that is not taken (number {proto.dtype}).")
    kind = KINDS[dtype]
    shape = _shape(where, proto, most_bytes)
    count = math.prod(shape)
    if count * (np.dtype(kind.stored).itemsize if kind.stored else _REFERENCE) > most_bytes:
        raise TooLarge(f"{where} of the shape {list(shape)} takes more than {most_bytes} bytes.")
    if dtype == "string":
        if proto.tensor_content:
            raise InvalidInput(f"{where} has strings in tensor_content; they have to stand in string_val.")
        return Tensor(dtype, shape, _filled_strings(where, list(proto.string_val), count, most_bytes))
    if proto.tensor_content:
        content = proto.tensor_content
        needed = count * np.dtype(kind.stored).itemsize
        if len(content) != needed:
            raise InvalidInput(
                f"{where} of {dtype} and the shape {list(shape)} needs {needed} bytes of tensor_content; it has "
                f"{len(content)}."
            )
        values = np.frombuffer(content, kind.stored)
    else:
        values = _filled(where, _typed(where, proto, kind, count), count)
    return _decoded(dtype, shape, values)


def _decoded(dtype: str, shape: tuple[int, ...], values: NDArray[Any]) -> Tensor:
    if dtype == "bfloat16":  # the upper half of a float32, which numpy knows
        values = (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
        dtype = "float32"
    return Tensor(dtype, shape, values.reshape(shape))


def _shape(where: str, proto: Any, most: int) -> tuple[int, ...]:
    shape = proto.tensor_shape
    if shape.unknown_rank or len(shape.dim) > _MOST_DIMENSIONS:
        raise InvalidInput(f"{where} needs a shape of at most {_MOST_DIMENSIONS} known dimensions.")
    sizes = tuple(dim.size for dim in shape.dim)
    if any(size < 0 for size in sizes):
        raise InvalidInput(f"{where} has a negative dimension.")
    if any(size > most for size in sizes):
        raise TooLarge(f"{where} of the shape {list(sizes)} takes more than {most} bytes.")
    return sizes


def _typed(where: str, proto: Any, kind: _Kind, count: int) -> NDArray[Any]:
    """The values of the dtype's own field."""
    pieces = getattr(proto, kind.field)
    if not pieces:  # none, or numbers that are not packed: those the typed message reads
        values = getattr(_TypedProto.FromString(proto.SerializeToString()), kind.field)
        read = np.uint64 if kind.stored == "<u8" else np.int64
        return _from_wire(kind, np.array(values, read if kind.varints else np.float64))
    data = b"".join(pieces)
    if kind.varints and len(data) > LONGEST_VARINT * count:
        raise InvalidInput(f"{where} has more values than its shape has room for, {count}.")
    try:
        return _from_wire(kind, decode_varints(data) if kind.varints else np.frombuffer(data, kind.stored))
    except ValueError:
        raise InvalidInput(f"{where}: {kind.field} is not whole.") from None


def _from_wire(kind: _Kind, values: NDArray[Any]) -> NDArray[Any]:
    if not kind.varints:
        if kind.stored in ("<c8", "<c16") and values.dtype.kind == "f":
            return values.astype(np.dtype(kind.stored).type(0).real.dtype).view(kind.stored)
        return values.astype(kind.stored, copy=False)
    if kind.field == "half_val":
        return values.astype(np.uint16).view(kind.stored)
    if kind.stored == "?":
        return values != 0  # type: ignore[no-any-return]
    return values.astype(kind.stored)


def _filled(where: str, values: NDArray[Any], count: int) -> NDArray[Any]:
    _check_count(where, len(values), count)
    if len(values) == count:
        return values
    filled = np.zeros(count, values.dtype)
    if len(values):
        filled[: len(values)] = values
        filled[len(values) :] = values[-1]
    return filled


def _filled_strings(where: str, values: list[bytes], count: int, most_bytes: int) -> list[bytes]:
    _check_count(where, len(values), count)
    missing = count - len(values)
    if missing and values and missing * len(values[-1]) > most_bytes:
        raise TooLarge(f"{where} filled up with its last string takes more than {most_bytes} bytes.")
    return values + [values[-1] if values else b""] * missing


def _check_count(where: str, found: int, count: int) -> None:
    if found > count:
        raise InvalidInput(f"{where} has {found} values; its shape has room for {count}.")


def encode_proto(proto: Any, tensor: Tensor) -> None:
    """Fills a TensorProto of `tfs_schema.WIRE` with an output, its values in the dtype's own field.

    Raises InvalidInput for a dtype that the format has no values for.
    """
    kind = KINDS.get(tensor.dtype)
    if kind is None:
        raise InvalidInput(f"An output is of {tensor.dtype}, which has no form on the wire.")
    proto.dtype = kind.number
    dims = proto.tensor_shape.dim
    for size in tensor.shape:
        dims.add(size=size)
    if tensor.dtype == "string":
        proto.string_val.extend(tensor.values)
    elif not tensor.values.size:
        return
    elif not kind.varints:
        getattr(proto, kind.field).append(tensor.values.astype(kind.stored, copy=False).tobytes())
    else:
        values = tensor.values.view(np.uint16) if tensor.dtype in _HALVES else tensor.values
        getattr(proto, kind.field).append(encode_varints(values))
