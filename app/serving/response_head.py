"""The head of a prediction's response: the one place that names its headers."""

from __future__ import annotations

from app.serving.version_queue import PredictionResult

Headers = list[tuple[bytes, bytes]]

_MEASURED = (b"x-batch-rows", b"x-queue-us", b"x-run-us")
_ID = b"x-prediction-id"
_MEASURED_LINES = b"".join(b"%b: %%d\r\n" % name for name in _MEASURED) + _ID + b": %b\r\n"


class ResponseHead:
    """The headers that say which version answered and how, as pairs for ASGI and as lines for the fast path."""

    __slots__ = ("_of_good", "_of_version")

    def __init__(self, model: str, number: int, lineage_id: str) -> None:
        self._of_version: Headers = [
            (b"x-model", model.encode()),
            (b"x-model-version", b"%d" % number),
            (b"x-lineage-id", lineage_id.encode()),
        ]
        self._of_good = lines([(b"content-type", b"application/json"), *self._of_version])

    def pairs(self, result: PredictionResult, prediction_id: bytes) -> Headers:
        """Of a prediction."""
        values = (result.batch_rows, result.queue_us, result.run_us)
        measured = [(name, b"%d" % value) for name, value in zip(_MEASURED, values, strict=True)]
        return [(b"content-type", b"application/json"), *self._of_version, *measured, (_ID, prediction_id)]

    def lines(self, result: PredictionResult, prediction_id: bytes) -> bytes:
        """The same, as they stand in a response."""
        return self._of_good + _MEASURED_LINES % (result.batch_rows, result.queue_us, result.run_us, prediction_id)

    def pairs_of_error(self, headers: Headers) -> Headers:
        """Of an error that the version gave, after the error's own headers."""
        return [*headers, *self._of_version]


def lines(headers: Headers) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])
