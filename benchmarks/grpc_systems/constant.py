"""The limit: grpc.aio with a handler that answers a constant as long as a prediction: `constant.py PORT`."""

from __future__ import annotations

import sys
from typing import Any

import grpc
import uvloop

_ANSWER = b"0" * 66


async def answer(message: bytes, context: Any) -> bytes:
    return _ANSWER


class Handlers(grpc.GenericRpcHandler):
    def service(self, handler_call_details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(answer)


async def main(port: str) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([Handlers()])
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


uvloop.run(main(sys.argv[1]))
