"""Converts a version's signatures for ONNX Runtime with tf2onnx, in a process of its own: it needs TensorFlow a second
time, and what it does to it or its memory ends with it.

`… convert PARENT EXPORT DIGEST TARGET` leaves models and a report (`app.serving.onnx_report`) in TARGET. A signature
has a model where all operations are of `onnx_ops.txt` and its answers are TensorFlow's on the rows of `onnx_rows`. The
list leaves out what tf2onnx drops without a word (assertions), what stops a process (division of whole numbers, by
zero), what is random, and what ONNX has not.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from app.process import NOT_FOR_MODELS, die_with_parent, name_process
from app.serving.onnx_report import REPORT, OnnxFile, OnnxReport
from app.serving.predictor.onnx_handlers import NotConverted, handlers

_OPSET = 18
_NICENESS = 10  # others serve meanwhile


def main(arguments: list[str]) -> None:
    _, parent, export, digest, target = arguments
    die_with_parent(parent=int(parent))
    name_process("onnx-conversion")
    os.nice(_NICENESS)
    directory = Path(target)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with (directory.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # lanes of this host want the same one, and one at a time is enough
        if not (directory / REPORT).exists():
            with tempfile.TemporaryDirectory(dir=directory.parent) as made:
                convert(Path(export), digest, Path(made)).write(Path(made))
                Path(made).rename(directory)
                Path(made).mkdir()


def convert(export: Path, digest: str, target: Path) -> OnnxReport:
    """Writes models into `target`. Raises BadExport."""
    sys.modules.update({name: None for name in NOT_FOR_MODELS if name not in sys.modules})  # type: ignore[misc]
    from app.serving.predictor.loaded_model import Loaded
    from app.serving.predictor.onnx_call import OnnxCall
    from app.serving.predictor.onnx_rows import difference, trials, usual_sizes

    model = Loaded(str(export), digest, max_rows=1024)
    tried = trials(model, export)
    files, reasons = {}, {}
    for number, (name, runner) in enumerate(model.runners.items()):
        try:
            if model.export.signatures[name].input != "features":
                raise NotConverted("It takes serialized examples, which ONNX cannot read.")
            content = _converted(model.model, runner)
            call = _session(partial(OnnxCall, content, runner.inputs))
            own = [trial for trial in tried if trial.signature == name]
            sizes = usual_sizes(own, len(runner.names))
            for trial in own:
                if (reason := difference(trial, call, runner.names, sizes)) is not None:
                    raise NotConverted(reason)
            file = OnnxFile(f"{number}.onnx", hashlib.sha256(content).hexdigest())
            (target / file.name).write_bytes(content)
            files[name] = file
        except NotConverted as reason:
            reasons[name] = str(reason)
    return OnnxReport(files, reasons)


@cache
def convertible_ops() -> frozenset[str]:
    return frozenset((Path(__file__).parent / "onnx_ops.txt").read_text().split())


def _converted(model: Any, runner: Any) -> bytes:
    """Raises NotConverted."""
    import tensorflow as tf
    from tf2onnx import optimizer, tf_loader, tfonnx

    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    outputs = [tensor.name for tensor in runner.packed.outputs]
    try:
        graph, tables = tf_loader.from_trackable(model, runner.packed, list(runner.inputs), outputs, False)
        _check_operations(graph)
        with tf.Graph().as_default() as whole:
            tf.import_graph_def(graph, name="")
            converted = tfonnx.process_tf_graph(
                whole,
                opset=_OPSET,
                input_names=list(runner.inputs),
                output_names=outputs,
                initialized_tables=tables,
                custom_op_handlers=handlers(),
            )
        content: bytes = optimizer.optimize_graph(converted).make_model("signature").SerializeToString()
    except NotConverted:
        raise
    except Exception as error:  # whatever a converter of many operations meets
        raise NotConverted(f"tf2onnx cannot convert it ({type(error).__name__}).") from error
    return content


def _check_operations(graph: Any) -> None:
    """Raises NotConverted, naming the operations."""
    used = {node.op for node in graph.node} | {node.op for one in graph.library.function for node in one.node_def}
    if missing := sorted(used - convertible_ops()):
        raise NotConverted(f"It has operations that are not converted: {', '.join(missing[:5])}.")


def _session(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception as error:  # ONNX Runtime's exceptions have no class in common
        raise NotConverted(f"ONNX Runtime cannot load what tf2onnx made of it ({type(error).__name__}).") from error


if __name__ == "__main__":
    main(sys.argv[1:])
