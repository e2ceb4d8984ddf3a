"""KServe's Python server, one worker: `kserve_service.py PORT`. It has no batches of its own: those are made by another
part of KServe, in front of it."""

from __future__ import annotations

import sys
from typing import Any

import kserve
from row_model import RowModel


class Predictor(kserve.Model):
    def __init__(self) -> None:
        super().__init__("m")
        self._rows = RowModel()
        self.ready = True

    # KServe reads its parameters by their names.
    async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> dict[str, Any]:
        return {"predictions": self._rows.rows(payload["instances"])}


if __name__ == "__main__":
    port = int(sys.argv[1])
    kserve.ModelServer(http_port=port, enable_grpc=False, workers=1, access_log_format="").start([Predictor()])
