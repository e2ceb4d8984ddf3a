"""A version's way into a predictor: loaded there, or taken over where an earlier connection left it."""

from __future__ import annotations

from app.serving.engines import note_engine
from app.serving.export_description import BadExport
from app.serving.predictor_process import PredictorDied, PredictorProcess
from app.serving.serving_version import ServingVersion

_LOW_PRIORITY_PATIENCE = 2  # a load that lets others go before takes longer


async def load_in(
    process: PredictorProcess | None, version: ServingVersion, timeout_s: float, *, low_priority: bool = False
) -> None:
    """Returns when the predictor has the version.

    Raises:
        BadExport: it cannot be loaded.
        PredictorDied: there is no process, or it ended meanwhile.
    """
    if process is None:
        raise PredictorDied("There is no predictor process.")
    wanted = version.wanted
    left = process.left.pop((wanted.path, wanted.digest), None)
    if left is not None:
        version.key = left.key
        version.set_cell_bytes(left.cell_bytes)
        note_engine(version, left.onnx)
        return
    timeout_s *= _LOW_PRIORITY_PATIENCE if low_priority else 1
    done = await process.load(version.key, wanted.path, wanted.digest, timeout_s, low_priority=low_priority)
    if done.error is not None:
        raise BadExport(done.error)
    version.set_cell_bytes(done.cell_bytes)
    note_engine(version, "")
