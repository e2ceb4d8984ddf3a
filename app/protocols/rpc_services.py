"""All services of the gRPC port."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from app.protocols import (
    health_service,
    oip_schema,
    open_inference_grpc,
    reflection_service,
    tensorflow_serving,
    tfs_schema,
)
from app.protocols.health_service import HealthService
from app.protocols.inference import Inference
from app.protocols.message_schema import MessageSchema
from app.protocols.reflection_service import ReflectionService
from app.protocols.rpc_methods import Method
from app.protocols.streaming_call import StreamingMethod


class Services(NamedTuple):
    """What can be called.

    Attributes:
        methods: calls of one message and one answer, by path; streaming: of several.
        health: to be told once in a while that readiness may have changed.
    """

    methods: dict[str, Method]
    streaming: dict[str, Callable[[], StreamingMethod]]
    health: HealthService


def all_services(inference: Inference, ready: Callable[[], bool]) -> Services:
    """The services of a version registry.

    Args:
        ready: whether predictions are answered now.
    """
    methods = tensorflow_serving.services(inference) | open_inference_grpc.methods(inference, ready)
    names = {path.split("/")[1] for path in methods}
    health = HealthService(names, ready)
    reflections = {f"{package}.ServerReflection" for package in reflection_service.PACKAGES}
    table = tfs_schema.TABLE + oip_schema.TABLE + health_service.TABLE + reflection_service.TABLE
    reflection = ReflectionService(sorted({*names, health_service.SERVICE, *reflections}), MessageSchema(table).pool)
    return Services(methods | health.methods(), health.streaming() | reflection.streaming(), health)
