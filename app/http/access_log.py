"""Last step of admission: the request in the metrics and in the log."""

from __future__ import annotations

import itertools
import os

import structlog

from app.http.auth import TokenInfo, is_public
from app.http.request_metrics import Traffic
from app.ids import new_id
from app.serving.verbs import is_prediction

_MOST_OF_A_PATH = 200
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# A new identifier per request would cost more than the rest of admission: the process has one, and counts.
_process_id = b""
_prediction_prefix = b""
_numbers = itertools.count()

log = structlog.get_logger("app.access")


def new_request_id() -> bytes:
    """An identifier for a request that brings none."""
    return b"%b%010x" % (_process_id, next(_numbers))


def new_ids() -> tuple[bytes, bytes]:
    """As `new_request_id`, and the identifier of the prediction that answers the request."""
    number = b"%010x" % next(_numbers)
    return _process_id + number, _prediction_prefix + number


def new_prediction_id() -> bytes:
    """The identifier of a prediction whose request has none that a client is told."""
    return b"%b%010x" % (_prediction_prefix, next(_numbers))


def prediction_id_of(request_id: bytes) -> bytes:
    """The identifier of the prediction that answers a request with an identifier of ours."""
    return b"pred" + request_id[3:]


def shown_path(path: str) -> str:
    """A path for the log, which anybody could fill fast with long ones."""
    return path if len(path) <= _MOST_OF_A_PATH else f"{path[:_MOST_OF_A_PATH]}… ({len(path)} characters)"


def _name_process() -> None:
    global _process_id, _prediction_prefix
    _process_id = new_id("req").encode()[:20]
    _prediction_prefix = prediction_id_of(_process_id)


_name_process()
os.register_at_fork(after_in_child=_name_process)


class AccessLog:
    """One line per request in the log, and its count in the metrics.

    Args:
        traffic: counts of requests, for /metrics.
    """

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic

    def record(
        self,
        method: str,
        path: str,
        status: int,
        took_s: float,
        *,
        request_id: str,
        token: TokenInfo | None,
        route: str = "none",
    ) -> None:
        """Counts a request and writes its line in the log.

        No line for predictions that succeed (it would cost more than the prediction) and for public paths, such as
        health checks, that do not fail.
        """
        predict = is_prediction(path)
        name = "predict" if predict else route
        self.traffic.add(method if method in _METHODS else "other", name, status, took_s)
        if (status < 400 and predict) or ((status < 500 or path == "/readyz") and is_public(path)):
            return
        log.info(
            "request",
            request_id=request_id,
            method=method,
            path=shown_path(path),
            status=status,
            ms=round(took_s * 1000, 2),
            token_id=token.id if token else None,
        )
