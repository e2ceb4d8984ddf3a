"""All services of the gRPC port."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.protocols import oip_schema, open_inference_grpc, tensorflow_serving, tfs_schema
from app.protocols.inference import Inference
from app.protocols.message_schema import MessageSchema
from app.protocols.rpc_methods import Method


def all_methods(inference: Inference, ready: Callable[[], bool]) -> dict[str, Method]:
    """The methods by path.

    Args:
        ready: whether predictions are answered now.
    """
    return tensorflow_serving.services(inference) | open_inference_grpc.methods(inference, ready)


def descriptors() -> Any:
    """A pool that describes them, for reflection."""
    return MessageSchema(tfs_schema.TABLE + oip_schema.TABLE).pool
