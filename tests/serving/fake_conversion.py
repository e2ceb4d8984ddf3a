"""Stands where versions are converted, without TensorFlow. What it does is the last word of the export's path."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from app.process import die_with_parent
from app.serving.onnx_report import OnnxFile, OnnxReport

if __name__ == "__main__":
    _, parent, export, _, target = sys.argv[1:]
    die_with_parent(parent=int(parent))
    what = Path(export).name
    if what == "crashes":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "hangs":
        threading.Event().wait()
    place = Path(target)
    place.mkdir(parents=True)
    (place.parent / "runs").open("a").write(what + "\n")
    if what == "refused":
        OnnxReport({}, {"serving_default": "for a test"}).write(place)
    else:
        (place / "0.onnx").write_bytes(b"0123456789")
        reasons = {"other": "for a test"} if what == "partly" else {}
        OnnxReport({"serving_default": OnnxFile("0.onnx", "")}, reasons).write(place)
