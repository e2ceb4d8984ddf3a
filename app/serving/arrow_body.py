"""Bodies in Arrow's stream format: a record batch's columns as features, a version's outputs as a table.

Runs in the process of large bodies, where a body that breaks Arrow, or unfolds beyond its memory, harms nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from app.errors import InvalidInput, TooLarge, quote_name
from app.serving.decode import Decoded, Decoder
from app.serving.export_description import InputFeature, inputs_of
from app.serving.feature_values import stand_in
from app.serving.tensors import cast_array, decode_outputs, pack_values

if TYPE_CHECKING:
    import pyarrow as pa

MEDIA_TYPE = b"application/vnd.apache.arrow.stream"


def decode_arrow(decoder: Decoder, signature: str, body: bytes, *, ignore_unknown: bool) -> Decoded:
    """A request's rows.

    Args:
        signature: one that the version has.
        ignore_unknown: columns that the model does not have are left out.

    Raises:
        InvalidInput: naming the column and what is expected.
        TooLarge: too many rows.
    """
    table = _table(body, decoder.max_rows)
    features = inputs_of(decoder.export, decoder.export.signatures[signature])
    names = table.column_names
    if len(set(names)) < len(names):
        raise InvalidInput("The table has two columns of one name.")
    unknown = set(names) - {feature.name for feature in features}
    if unknown and not ignore_unknown:
        raise InvalidInput(
            f"The model has no feature {quote_name(min(unknown))}. Leave the column out, or send ?ignore_unknown=true."
        )
    values = {feature.name: _checked(feature, table) for feature in features}
    return pack_values(decoder, signature, values, table.num_rows)


def _table(body: bytes, max_rows: int) -> pa.Table:
    """Raises InvalidInput, and TooLarge."""
    import pyarrow as pa

    batches = []
    rows = 0
    try:
        with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
            for batch in reader:
                rows += batch.num_rows
                if rows > max_rows:
                    raise TooLarge(f"The request has more than {max_rows} rows. Send it in parts.")
                batch.validate(full=True)
                batches.append(batch)
            return pa.Table.from_batches(batches, reader.schema)
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InvalidInput("The body is no whole and valid Arrow stream.") from error


def _checked(feature: InputFeature, table: pa.Table) -> Any:
    import pyarrow as pa

    try:
        return _values(feature, table)
    except MemoryError:
        raise
    except pa.ArrowException as error:  # a type for which Arrow lacks a function
        kind = table.schema.field(feature.name).type
        raise InvalidInput(f"Column {quote_name(feature.name)} is of {kind}, which is not taken here.") from error


def _values(feature: InputFeature, table: pa.Table) -> Any:
    """The feature's values as `pack_values` takes them."""
    import pyarrow as pa

    if feature.name not in table.column_names:
        if feature.missing is None:
            raise InvalidInput(
                f"The table has no column {quote_name(feature.name)}; it has no value to stand in for it."
            )
        column: Any = pa.chunked_array([pa.nulls(table.num_rows)])
    else:
        column = table.column(feature.name)
    array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if isinstance(array, pa.ChunkedArray):  # of no rows, or too long for one
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if pa.types.is_dictionary(array.type):
        array = pa.DictionaryArray.from_arrays(array.indices, _without_views(array.dictionary)).dictionary_decode()
    array = _without_views(array)
    if array.null_count == len(array) and len(array):
        return _filled(feature, [None] * len(array))
    if feature.sequence or feature.shape:
        return _nested(feature, array)
    if array.null_count:
        if feature.missing is None:
            raise _null(feature, array)
        array = array.fill_null(pa.scalar(stand_in(feature)).cast(array.type))
    return _flat(feature, array)


def _without_views(array: pa.Array) -> pa.Array:
    """Polars' strings in a layout that all of Arrow's functions take."""
    import pyarrow as pa

    if pa.types.is_string_view(array.type):
        return array.cast(pa.large_string())
    return array.cast(pa.large_binary()) if pa.types.is_binary_view(array.type) else array


def _filled(feature: InputFeature, rows: list[Any]) -> Any:
    """Rows of a feature, stand-ins in place of None."""
    if feature.missing is None:
        raise InvalidInput(f"Column {quote_name(feature.name)} has nulls, and no value to stand in for them.")
    made = [stand_in(feature) if row is None else row for row in rows]
    return _from_rows(feature, made)


def _null(feature: InputFeature, array: pa.Array) -> InvalidInput:
    import pyarrow.compute as pc

    row = pc.index(array.is_null(), True).as_py()
    return InvalidInput(f"Row {row}: column {quote_name(feature.name)} is null, and has no value to stand in for it.")


def _nested(feature: InputFeature, array: pa.Array) -> Any:
    """Lists: of the feature's shape, or of any length where it is a sequence."""
    import pyarrow as pa

    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(is_kind(array.type) for is_kind in kinds):
        if feature.shape == (1,):
            return _flat(feature, array)
        raise InvalidInput(f"Column {quote_name(feature.name)} is of {array.type}; it has to hold lists.")
    plain = not array.null_count and not array.flatten().null_count and not _deep(array.type)
    if not plain or len(feature.shape) > (0 if feature.sequence else 1):
        return _filled(feature, array.to_pylist()) if array.null_count else _from_rows(feature, array.to_pylist())
    counts = np.asarray(array.value_lengths()).astype("<i8")
    flat = _flat(feature, array.flatten())
    if feature.sequence:
        return flat, counts
    if (counts != feature.shape[0]).any():
        row = int(np.flatnonzero(counts != feature.shape[0])[0])
        raise InvalidInput(f"Row {row}: column {quote_name(feature.name)} has to have {feature.shape[0]} values.")
    return flat if feature.dtype == "string" else flat.reshape(len(array), *feature.shape)


def _deep(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_nested(kind.value_type))


def _from_rows(feature: InputFeature, rows: list[Any]) -> Any:
    """Lists of Python values, of which any may be wrong."""
    counts = np.array([len(row) for row in rows], "<i8") if feature.sequence else None
    items = [item for row in rows for item in row] if feature.sequence else rows
    try:
        array = np.array(items, object if feature.dtype == "string" else None)
    except ValueError:
        raise InvalidInput(f"Column {quote_name(feature.name)} has lists of different lengths.") from None
    if array.shape != (len(items), *feature.shape) and items:
        raise InvalidInput(f"Column {quote_name(feature.name)}: an item has to have the shape {list(feature.shape)}.")
    if feature.dtype == "string":
        flat: Any = [value.encode() if isinstance(value, str) else value for value in array.ravel().tolist()]
        if not all(isinstance(value, bytes) for value in flat):
            raise InvalidInput(f"Column {quote_name(feature.name)} has to hold strings, none of them null.")
    else:
        flat = cast_array(feature, array.reshape(len(items), *feature.shape))
    return flat if counts is None else (flat, counts)


def _flat(feature: InputFeature, array: pa.Array) -> Any:
    """Values without nulls: a list of bytes, or an array of the feature's dtype."""
    import pyarrow as pa

    array = _without_views(array)
    kind = array.type
    textual = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    is_text = any(is_kind(kind) for is_kind in textual)
    numeric = pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    if is_text != (feature.dtype == "string") or not (is_text or numeric):
        raise InvalidInput(f"Column {quote_name(feature.name)} is of {kind}; it has to be of {feature.dtype}.")
    if is_text:
        return array.cast(pa.large_binary()).to_pylist()
    return cast_array(feature, array.to_numpy(zero_copy_only=False))


def encode_arrow(outputs: bytes) -> bytes:
    """A version's outputs, as the predictor sends them, as a stream with one record batch; a column an output."""
    import pyarrow as pa

    names, columns = [], []
    for name, tensor in decode_outputs(outputs).items():
        if tensor.dtype == "string":
            values: Any = _strings(tensor.values)
        elif tensor.dtype == "bfloat16":
            values = pa.array((tensor.values.ravel().astype(np.uint32) << np.uint32(16)).view(np.float32))
        else:
            values = pa.array(np.ascontiguousarray(tensor.values).ravel())
        for size in reversed(tensor.shape[1:]):
            values = pa.FixedSizeListArray.from_arrays(values, size)
        names.append(name)
        columns.append(values)
    batch = pa.RecordBatch.from_arrays(columns, names)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _strings(values: list[bytes]) -> Any:
    """Text where all of them are, else binary."""
    import pyarrow as pa

    made = pa.array(values, pa.binary())
    try:
        return made.cast(pa.string())
    except pa.ArrowInvalid:
        return made
