"""A SavedModel in memory and the call of its signatures. Imported by the predictor process only.

Each signature gets one packed function around it, traced once at load: its inputs are the few tensors of
`app.serving.packing` instead of one a feature, and it is called as `app.serving.predictor.flat_call` says.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from app.digest import directory_digest
from app.errors import InvalidInput
from app.serving.decode import Decoder
from app.serving.export_description import (
    BadExport,
    ExportDescription,
    InputFeature,
    Signature,
    aliases_of,
    inputs_of,
    read_export,
)
from app.serving.onnx_report import OnnxReport, checked_bytes
from app.serving.packing import PackedInput, RowPacker
from app.serving.predictor.flat_call import FlatCall
from app.serving.predictor.graph_check import check
from app.serving.predictor.onnx_call import NotComputed, OnnxCall
from app.serving.predictor.response import ResponseEncoder
from app.serving.predictor.warm_up_file import run_warm_up_file
from app.serving.protocol import NO_INSTANCE, BadFrame, Column, Form

_WARM_UP_ROWS = (1, 16, 128)
_VALUE_BYTES = 4
_CALL_BYTES = 2**30
"""What the tensors of one call may take together, were none of them given back before its end."""
_FAILURES = (tf.errors.OpError, ValueError, TypeError)
_DTYPES = {"float32": tf.float32, "int64": tf.int64, "string": tf.string}


class Loaded:
    """One version, loaded, checked and warmed up.

    Args:
        directory: the export.
        digest: what `directory_digest` has to find there.
        max_rows: rows of one TensorFlow call; more are run in parts.

    Attributes:
        runners: of the signatures, each once.
        onnx: the directory of conversions that answer in TensorFlow's place; empty: none.

    Raises:
        BadExport: it is not what the registry says, or may not be loaded, or cannot run its own examples or warm-up
            records.
    """

    def __init__(self, directory: str, digest: str, *, max_rows: int) -> None:
        path = Path(directory)
        self.export = _verified(path, digest)
        try:
            self.model = tf.saved_model.load(directory, tags=["serve"])
            self.runners = {
                name: Runner(self.export, name, signature, self.model.signatures[name], max_rows)
                for name, signature in _different(self.export).items()
            }
        except (tf.errors.OpError, ValueError, KeyError, TypeError, RuntimeError, OSError) as error:
            raise BadExport(f"TensorFlow cannot load the export ({type(error).__name__}).") from error
        self._signatures = {**self.runners}
        for name, same in aliases_of(self.export).items():
            self._signatures[name] = self._signatures[same]
        self.onnx = ""
        self.cell_bytes = max((runner.cell_bytes for runner in self.runners.values()), default=0)
        self.bytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        self._warm_up()
        run_warm_up_file(path, self.export, self.run)

    def run(
        self,
        signature: str,
        columns: Sequence[Column],
        counts: Sequence[int],
        forms: Sequence[int],
        *,
        call_rows: int = 0,
    ) -> Any:
        """As `BatchResult.bodies`, one a request, and the call's time in microseconds.

        Args:
            call_rows: as in `RunBatch`.

        Raises BadFrame when the columns do not fit the signature.
        """
        runner = self._signatures.get(signature)
        if runner is None:
            raise BadFrame("The run names a signature that the model does not have.")
        return runner.run(columns, counts, forms, call_rows)

    def runner(self, signature: str) -> Runner | None:
        return self._signatures.get(signature)

    def use_onnx(self, directory: str) -> None:
        """From now on ONNX Runtime answers for the signatures that were converted there; with an empty name TensorFlow
        does for all. When it fails nothing has changed.

        Raises OSError, ValueError, ImportError, and what ONNX Runtime raises when it cannot load a model.
        """
        calls: dict[str, OnnxCall] = {}
        if directory:
            place = Path(directory)
            for name, file in OnnxReport.read(place).files.items():
                if name in self.runners:
                    calls[name] = OnnxCall(checked_bytes(place, file), self.runners[name].inputs)
        for name, runner in self.runners.items():
            runner.onnx = calls.get(name)
        self.onnx = directory

    def _warm_up(self) -> None:
        """Runs every signature on the export's own examples, in several batch sizes."""
        if not self.export.examples:
            return
        decoder = Decoder(self.export, max_rows=max(_WARM_UP_ROWS))
        for name, runner in self._signatures.items():
            if self.export.signatures[name].input != "features":
                continue
            try:
                rows = decoder.rows(name, self.export.examples)
            except InvalidInput as error:
                raise BadExport(f"The export's own examples do not fit its features: {error.detail}") from error
            for count in _WARM_UP_ROWS:
                batch = (rows * count)[:count]
                bodies, _ = runner.run(decoder.packers[name].pack(batch), [count], [Form.ROW])
                if isinstance(bodies[0], int):
                    raise BadExport(f"The signature {name!r} cannot compute the export's own examples.")


class Runner:
    """Calls one signature.

    Attributes:
        packed: the function around it, traced.
        inputs: names of its tensors, without what it captured.
        onnx: what computes in its place, but for values that are TensorFlow's.
        call: TensorFlow's.
    """

    def __init__(
        self, export: ExportDescription, name: str, signature: Signature, function: Any, max_rows: int
    ) -> None:
        self._packer = RowPacker(inputs_of(export, signature))
        features = {feature.name: feature for feature in inputs_of(export, signature)}
        outputs = function.structured_outputs
        self.names = [output.name for output in signature.outputs if output.name in outputs] or sorted(outputs)
        wanted = function.structured_input_signature[1]
        tensors = self._packer.tensors
        names = self.names

        @tf.function(autograph=False)  # type: ignore[untyped-decorator]
        def packed(*inputs: Any) -> list[Any]:
            named = _named(tensors, inputs, features)
            answer = function(**{key: tf.cast(named[key], spec.dtype) if named[key].dtype != spec.dtype else named[key]
                                 for key, spec in wanted.items()})  # fmt: skip
            return [answer[output] for output in names]

        specs = _specs(tensors)
        self.packed = packed.get_concrete_function(*specs)
        self.inputs = [tensor.name for tensor in self.packed.inputs[: len(specs)]]
        self.call = FlatCall(self.packed, specs)
        self.onnx: OnnxCall | None = None
        self._answers = ResponseEncoder(names)
        self._max_rows = max_rows
        self._row_bytes, self.cell_bytes = activation_bytes(function.graph.as_graph_def(add_shapes=True))

    def unpack(self, columns: Sequence[Column], rows: int) -> list[Any]:
        """What `call` takes. Raises BadFrame."""
        return self._packer.unpack(columns, rows)

    def run(self, columns: Sequence[Column], counts: Sequence[int], forms: Sequence[int], call_rows: int = 0) -> Any:
        most = min(self._max_rows, call_rows or self._max_rows)
        rows = sum(counts)
        inputs = self.unpack(columns, rows)
        started = time.perf_counter()
        try:
            arrays = self._compute(inputs, rows, most)
            took = time.perf_counter() - started
            bodies: list[bytes | int] = list(self._answers.encode(arrays, counts, forms))
        except _FAILURES:
            bodies = self._one_by_one(inputs, counts, forms, most)
            took = time.perf_counter() - started
        return bodies, round(took * 1e6)

    def _one_by_one(
        self, inputs: list[Any], counts: Sequence[int], forms: Sequence[int], most: int
    ) -> list[bytes | int]:
        """After a batch failed: each request alone, so that only the one at fault fails."""
        bodies: list[bytes | int] = []
        start = 0
        for count, form in zip(counts, forms, strict=True):
            part = [array[start : start + count] for array in inputs]
            start += count
            try:
                bodies += self._answers.encode(self._compute(part, count, most), [count], [form])
            except _FAILURES:
                bodies.append(self._at_fault(part, count, most))
        return bodies

    def _at_fault(self, inputs: list[Any], rows: int, most: int) -> int:
        """Number of a row that fails alone, found by halving; NO_INSTANCE when only rows together fail."""
        low, high = 0, rows
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._fails(inputs, low, middle, most) else (middle, high)
        return low if self._fails(inputs, low, high, most) else NO_INSTANCE

    def _fails(self, inputs: list[Any], start: int, end: int, most: int) -> bool:
        try:
            self._compute([array[start:end] for array in inputs], end - start, most)
        except _FAILURES:
            return True
        return False

    def _compute(self, inputs: list[Any], rows: int, most: int) -> list[Any]:
        step = self._rows_of_a_call(inputs, most)
        if rows <= step:
            return self._call(inputs, rows)
        parts = []
        for start in range(0, rows, step):
            end = min(start + step, rows)
            parts.append(self._call([array[start:end] for array in inputs], end - start))
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]

    def _rows_of_a_call(self, inputs: list[Any], most: int) -> int:
        """As many as `most`, and fewer where rows are so wide that a call would take too much memory."""
        if not self._row_bytes and not self.cell_bytes:
            return most
        longest = max((array.shape[1] for array in self._sequences(inputs)), default=0)
        return max(1, min(most, _CALL_BYTES // max(1, self._row_bytes + longest * self.cell_bytes)))

    def _sequences(self, inputs: list[Any]) -> Iterator[Any]:
        rest = iter(inputs)
        for tensor in self._packer.tensors:
            array = next(rest)
            if tensor.sequence:
                next(rest)  # its lengths
                yield array

    def _call(self, inputs: list[Any], rows: int) -> list[Any]:
        onnx = self.onnx
        if onnx is not None:
            try:
                return [_batched(array, rows) for array in onnx(inputs)]
            except NotComputed:
                pass
        return [_batched(array, rows) for array in self.call(inputs)]


def activation_bytes(graph: Any) -> tuple[int, int]:
    """Memory that the tensors of a function take per row, and per step of each row's padded sequence.

    An upper bound but for loop bodies: TensorFlow gives most of them back before the end of a call.

    Args:
        graph: its GraphDef, with shapes; the batch is the first unknown dimension, the time the second.
    """
    row_bytes = cell_bytes = 0
    for node in graph.node:
        for shape in node.attr["_output_shapes"].list.shape:
            sizes = [dimension.size for dimension in shape.dim]
            unknown = sum(size < 0 for size in sizes)
            size = _VALUE_BYTES * math.prod(size for size in sizes if size >= 0)
            if unknown == 1:
                row_bytes += size
            elif unknown > 1:
                cell_bytes += size
    return row_bytes, cell_bytes


def _verified(path: Path, digest: str) -> ExportDescription:
    try:
        found = directory_digest(path)
    except (OSError, ValueError) as error:
        raise BadExport("The export's files cannot be read.") from error
    if found != digest:
        raise BadExport("The export's files are not those that were registered (other digest).")
    check(path)
    return read_export(path)


def _different(export: ExportDescription) -> dict[str, Signature]:
    aliases = aliases_of(export)
    return {name: signature for name, signature in export.signatures.items() if name not in aliases}


def _specs(tensors: Sequence[PackedInput]) -> list[Any]:
    specs = []
    for tensor in tensors:
        if tensor.sequence:
            specs.append(tf.TensorSpec([None, None, *tensor.shape], _DTYPES[tensor.dtype]))
            specs.append(tf.TensorSpec([None], tf.int64))
        else:
            specs.append(tf.TensorSpec([None, *tensor.shape], _DTYPES[tensor.dtype]))
    return specs


def _named(
    tensors: Sequence[PackedInput], inputs: Sequence[Any], features: Mapping[str, InputFeature]
) -> dict[str, Any]:
    """The signature's own inputs from the packed ones."""
    named: dict[str, Any] = {}
    rest = iter(inputs)
    for tensor in tensors:
        values = next(rest)
        if tensor.together:
            own = [features[name].input or name for name in tensor.names]
            named.update(zip(own, tf.unstack(values, num=len(own), axis=1), strict=True))
            continue
        feature = features[tensor.names[0]]
        named[feature.input or feature.name] = values
        if tensor.sequence:
            named[feature.length_input or f"{feature.name}_length"] = next(rest)
    return named


def _batched(array: Any, rows: int) -> Any:
    """An output that does not depend on the rows is the same for each."""
    if array.ndim and array.shape[0] == rows:
        return array
    return np.broadcast_to(array, (rows, *array.shape))
