"""Client and command line of the service, without TensorFlow or server code.

Imports httpx, typer and rich only; grpcio and NumPy where predictions go by gRPC. Start with `async_client.py`; the
command line is in `cli/`.
"""

from typing import TYPE_CHECKING, Any

from estimator_client.version import __version__

if TYPE_CHECKING:
    from estimator_client.async_client import AsyncClient
    from estimator_client.async_job import AsyncJob
    from estimator_client.client import Client
    from estimator_client.errors import ApiError, ClientError, JobNotSuccessful, Unreachable
    from estimator_client.event_stream import Event
    from estimator_client.job import Job

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncJob",
    "Client",
    "ClientError",
    "Event",
    "Job",
    "JobNotSuccessful",
    "Unreachable",
    "__version__",
]
_HOMES = {
    "ApiError": "errors",
    "AsyncClient": "async_client",
    "AsyncJob": "async_job",
    "Client": "client",
    "ClientError": "errors",
    "Event": "event_stream",
    "Job": "job",
    "JobNotSuccessful": "errors",
    "Unreachable": "errors",
}


def __getattr__(name: str) -> Any:
    # not before they are asked for: the command line prints its help without httpx
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
