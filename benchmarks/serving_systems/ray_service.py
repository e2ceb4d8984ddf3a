"""Ray Serve with batches of up to 128 requests, one replica: `ray_service.py PORT`."""

from __future__ import annotations

import signal
import sys
from typing import Any

import ray
from ray import serve
from row_model import RowModel

Rows = list[dict[str, Any]]


@serve.deployment(num_replicas=1, max_ongoing_requests=1000)
class Predictor:
    def __init__(self) -> None:
        self.model = RowModel()

    @serve.batch(max_batch_size=128, batch_wait_timeout_s=0.002)
    async def answers(self, batch: list[Rows]) -> list[list[dict[str, Any]]]:
        return self.model.requests(batch)

    async def __call__(self, request: Any) -> dict[str, Rows]:
        content = await request.json()
        return {"predictions": await self.answers(content["instances"])}


if __name__ == "__main__":
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Predictor.bind(), route_prefix="/")
    signal.pause()
