"""Engines that compute a version's answers: TensorFlow, or ONNX Runtime where the model asks for it and its answers are
TensorFlow's.

A version is loaded and answers by TensorFlow first. Meanwhile a process converts it, if this host has no conversion
yet, and compares; the predictor then changes from one call to the next. So nothing waits for a conversion, and one that
fails changes nothing but what is told of the version.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import structlog

from app.serving.export_description import aliases_of
from app.serving.forkserver import start
from app.serving.model_limits import ONNX, TENSORFLOW
from app.serving.onnx_report import FORMAT, REPORT, OnnxReport
from app.serving.predictor_process import PredictorDied, PredictorProcess
from app.serving.serving_version import ServingVersion
from app.serving.versions import Models

log = structlog.get_logger("app.serving")

NO_ONNX = "It needs the packages tf2onnx and onnxruntime: pip install -r requirements-onnx.lock."
CONVERSION = "app.serving.predictor.onnx_conversion"
_KEPT_S = 7 * 86_400.0
"""Conversions that no predictor has taken for so long are made anew when they are wanted again."""


class Engines:
    """Conversions of versions, and which of them is to be taken next.

    Args:
        directory: of the conversions, which all lanes of a host share; None: all versions stay TensorFlow's.
        wake: called when one came to an end.
        timeout_s: of one conversion, and of one change.
    """

    def __init__(self, directory: Path | None, wake: Callable[[], None], timeout_s: float) -> None:
        self._directory, self._wake, self._timeout_s = directory, wake, timeout_s
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether something is being converted."""
        return self._task is not None

    async def change_next(self, process: PredictorProcess, models: Models, memory_bytes: int) -> bool:
        """Lets the predictor change the engine of one loaded version whose model wants another one; what is to be
        converted before is begun. Returns whether there was one.

        Args:
            memory_bytes: of all loaded versions together.

        Raises PredictorDied.
        """
        for version in list(models.held()):
            if version.wanted.settings.engine != ONNX:
                version.why_tensorflow = {}
                directory = "" if version.onnx else None
            elif version.onnx or version.why_tensorflow:
                continue
            else:
                free = memory_bytes - models.used_bytes
                found = self._conversion(version, process.tensorflow, free)
                if version.why_tensorflow:
                    self._tell(version)
                directory = None if found is None else str(found)
            if directory is not None:
                await self._change(version, directory, process)
                return True
        return False

    async def _change(self, version: ServingVersion, directory: str, process: PredictorProcess) -> None:
        """Raises PredictorDied."""
        try:
            done = await process.use_onnx(version.key, directory, self._timeout_s)
        except PredictorDied:
            if directory:
                version.stays_tensorflow("Loading it for ONNX Runtime ended the predictor process.")
                self._tell(version)
            raise
        if done.error is not None:
            version.stays_tensorflow(done.error)
        else:
            note_engine(version, directory)
        self._tell(version)

    async def stop(self) -> None:
        """Ends a conversion that is under way."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _conversion(self, version: ServingVersion, tensorflow: str, free_bytes: int) -> Path | None:
        """Where it is. Else a reason stands at the version now, or a process makes it."""
        try:
            packages = [installed(name) for name in ("tf2onnx", "onnx", "onnxruntime")]
        except PackageNotFoundError:
            version.stays_tensorflow(NO_ONNX)
            return None
        if self._directory is None:
            version.stays_tensorflow("This service has no place for conversions.")
            return None
        words = [str(FORMAT), version.wanted.digest, tensorflow, *packages]
        place = self._directory / hashlib.sha256("\n".join(words).encode()).hexdigest()[:32]
        if self._task is not None:
            return None
        if (place / REPORT).exists():
            return self._taken(version, place, free_bytes)
        # Here, not in a thread: the kernel ends the process with the thread that started it.
        process = start(CONVERSION, "convert", version.wanted.path, version.wanted.digest, str(place))
        self._task = asyncio.create_task(self._convert(version, place, process), name="convert version")
        return None

    def _taken(self, version: ServingVersion, place: Path, free_bytes: int) -> Path | None:
        try:
            (place / REPORT).touch()
            report = OnnxReport.read(place)
            size = report.size(place)
        except (OSError, ValueError):
            version.stays_tensorflow("Its conversion cannot be read.")
            return None
        if report.files and size <= free_bytes:
            return place
        if report.files:
            version.stays_tensorflow(f"Its conversion needs {size} bytes of memory more; {free_bytes} are free.")
        else:
            version.why_tensorflow = report.reasons
        return None

    async def _convert(self, version: ServingVersion, place: Path, process: subprocess.Popen[bytes]) -> None:
        reason = None
        try:
            status = await asyncio.to_thread(process.wait, self._timeout_s)
            if not (place / REPORT).exists():
                ended = f"signal {-status}" if status < 0 else f"status {status}"
                reason = f"The process that converts it ended by {ended}."
        except subprocess.TimeoutExpired:
            reason = f"Its conversion took more than {self._timeout_s:g} s."
        finally:
            process.kill()
            await asyncio.to_thread(process.wait)
            self._task = None
        if reason is not None:
            version.stays_tensorflow(reason)
            self._tell(version)
        await asyncio.to_thread(self._remove_unused, place.parent)
        self._wake()

    def _tell(self, version: ServingVersion) -> None:
        named = {"model": version.wanted.model, "version": version.wanted.number}
        tell = log.info if version.by_onnx or not version.why_tensorflow else log.warning
        tell("engine of a version", **named, by_onnx=sorted(version.by_onnx), why_tensorflow=version.why_tensorflow)

    def _remove_unused(self, root: Path) -> None:
        for report in root.glob(f"*/{REPORT}"):
            with contextlib.suppress(OSError):
                if time.time() - report.stat().st_mtime > _KEPT_S:
                    for file in (report, *report.parent.iterdir()):
                        file.unlink(missing_ok=True)
                    report.parent.rmdir()


def note_engine(version: ServingVersion, directory: str) -> None:
    """The predictor has the version, and uses those conversions for it; with an empty name none."""
    assert version.export is not None
    if version.onnx:
        version.why_tensorflow = {}  # that of some signatures; it must not keep the others from being taken again
    version.onnx, version.onnx_bytes, names = directory, 0, set[str]()
    if directory:
        try:
            report = OnnxReport.read(Path(directory))
            version.onnx_bytes = report.size(Path(directory))
        except (OSError, ValueError):
            report = OnnxReport()  # removed since, as those are that no lane has taken for long
        version.why_tensorflow = report.reasons
        aliases = aliases_of(version.export).items()
        names = {*report.files, *(name for name, same in aliases if same in report.files)}
    version.by_onnx = frozenset(names)
    others = len(version.export.signatures) - len(names)
    version.metrics.engines = {ONNX: len(names), TENSORFLOW: others}


def engine_of(models: Models, model: str, number: int) -> dict[str, Any] | None:
    """What is shown of a loaded version: what computes each signature, and why TensorFlow does where ONNX was asked
    for. None: it is not loaded."""
    version = models.versions.get((model, number))
    if version is None or version.export is None or not version.loaded:
        return None
    by = {name: ONNX if name in version.by_onnx else TENSORFLOW for name in sorted(version.export.signatures)}
    return {"asked": version.wanted.settings.engine, "signatures": by, "reasons": version.why_tensorflow}
