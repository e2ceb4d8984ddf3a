"""Our serving path with its gate, as the service runs it: `ours:app`, or `python ours.py EXPORTS MODEL SOCKET…`.

The gate (token, Host, Origin, body limits), the predict front, validation, batching, metrics and headers are the
product's own; FastAPI stands behind them and is not reached by predictions.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from app.api.auth import TokenInfo
from app.api.gate import Gate
from app.api.problems import problem
from app.config import Settings
from app.serving.digest import directory_digest
from app.serving.front import PredictFront
from app.serving.models import WantedVersion
from app.serving.service import ServingService

TOKEN = "benchmark-token"
EXPORTS = Path(os.environ["EXPORTS"])
MODEL = os.environ["MODEL"]

_info = TokenInfo("tok", "benchmark", frozenset({"predict"}))


async def authenticate(secret: str) -> TokenInfo | None:
    return _info if secret == TOKEN else None


service = ServingService(spare=os.environ.get("SPARE", "1") == "1")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    await service.start()
    path = str(EXPORTS / MODEL)
    service.sync([WantedVersion("m", 1, path, directory_digest(path), "ver_1", ("latest",))])
    yield
    await service.stop()


app = Gate(PredictFront(FastAPI(lifespan=lifespan), service, problem), Settings(), authenticate)
