"""Dependencies of the routes: state of the application, caller, page size, idempotency."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Header, Path, Query, Request
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from app.config import Settings
from app.dispatch import Dispatch
from app.errors import UnsupportedMedia
from app.http.auth import Authenticator, TokenInfo
from app.ids import NAME_PATTERN
from app.label_flips import LabelFlips
from app.promotion import Promotions
from app.queue import Queue
from app.readiness import ReadinessMonitor
from app.registry.db import Database
from app.registry.idempotency import IdempotencyRepository, StoredResponse
from app.serving.large_body import LargeBodyReader
from app.storage import Storage

if TYPE_CHECKING:
    from app.api.event_feed import EventFeed
    from app.lanes.exposition import Exposition


@dataclass
class AppState:
    """The parts that the API works with, made in `app.main`."""

    settings: Settings
    database: Database
    storage: Storage
    queue: Queue
    dispatch: Dispatch
    feed: EventFeed
    authenticate: Authenticator
    metrics: Exposition
    readiness: ReadinessMonitor
    lanes: Callable[[], tuple[int, int]]
    """How many lanes of this host serve, and how many there are to be."""
    promotions: Promotions = field(default_factory=Promotions)
    flips: LabelFlips = field(default_factory=LabelFlips)
    engine_of: Callable[[str, int], dict[str, Any] | None] = lambda model, number: None
    """What computes the answers of a version here; None: it is not loaded."""
    large_bodies: LargeBodyReader = field(default_factory=LargeBodyReader)
    ingesting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    """Uploads that are read at once: each needs its share of memory."""
    not_ready: str = "The service starts."
    """Why requests cannot be answered yet; empty when they can."""
    secrets: dict[tuple[str, str], str] = field(default_factory=dict)
    """Of tokens made a moment ago with an Idempotency-Key, so that the answer can be given again; never stored."""


async def app_state_of(request: Request) -> AppState:
    app_state: AppState = request.app.state.app_state
    return app_state


async def caller(request: Request) -> TokenInfo:
    """Who calls; the admission layer has checked it."""
    token: TokenInfo = request.state.token
    return token


AppStateDep = Annotated[AppState, Depends(app_state_of)]
Caller = Annotated[TokenInfo, Depends(caller)]

_ID = "^%s_[0-9a-hjkmnp-tv-z]{26}$"
_SAMPLE = "01k9zv0q2m8x4t6b3c5d7e9f1g"
JobId = Annotated[str, Path(pattern=_ID % "job", description="Id of a job.", examples=[f"job_{_SAMPLE}"])]
EvaluationId = Annotated[
    str, Path(pattern=_ID % "eval", description="Id of an evaluation.", examples=[f"eval_{_SAMPLE}"])
]
DATASET_PATTERN = r"^[^\x00]{1,200}$"
DatasetReference = Annotated[
    str,
    Path(
        pattern=DATASET_PATTERN,
        description="Id of a data set, or its name: the newest of that name.",
        examples=[f"ds_{_SAMPLE}"],
    ),
]
ExportId = Annotated[str, Path(pattern=_ID % "exp", description="Id of an export.", examples=[f"exp_{_SAMPLE}"])]
TokenId = Annotated[str, Path(pattern=_ID % "tok", description="Id of a token.", examples=[f"tok_{_SAMPLE}"])]
ModelName = Annotated[
    str, Path(pattern=NAME_PATTERN, max_length=100, description="Name of a model.", examples=["penguins"])
]
LabelName = Annotated[
    str, Path(pattern=NAME_PATTERN, max_length=100, description="A label of the model.", examples=["latest"])
]
VersionNumber = Annotated[int, Path(ge=1, le=2**31 - 1, description="Number of a version.", examples=[1])]
PageSize = Annotated[int, Query(ge=1, le=1000, description="Maximum number of items to return.")]
PageToken = Annotated[str | None, Query(max_length=500, description="`next_page_token` of the previous page.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="The same key with the same request gives the same answer and does nothing again.",
    ),
]


@dataclass(frozen=True)
class IdempotentRequest:
    """A request that may come twice."""

    token_id: str
    key: str | None
    digest: str
    ttl_s: float

    def known(self, session: Session) -> StoredResponse | None:
        """The answer of the first time, if there was one; for a look before work that need not be done again."""
        if self.key is None:
            return None
        return IdempotencyRepository(session).find(self.token_id, self.key, self.digest, ttl_s=self.ttl_s)

    def run(self, session: Session, work: Callable[[], StoredResponse]) -> tuple[StoredResponse, bool]:
        """`work` in the caller's transaction, or the answer of the first time; and whether it is new."""
        if self.key is None:
            return work(), True
        keys = IdempotencyRepository(session)
        known = keys.begin(self.token_id, self.key, self.digest, ttl_s=self.ttl_s)
        if known is not None:
            return known, False
        answer = work()
        keys.finish(self.token_id, self.key, answer.status, answer.headers, answer.body)
        return answer, True


async def idempotent_request(
    request: Request, app_state: AppStateDep, token: Caller, idempotency_key: IdempotencyKey = None
) -> IdempotentRequest:
    body = await request.body() if idempotency_key else b""
    digest = await asyncio.to_thread(request_digest, request, body)
    return IdempotentRequest(token.id, idempotency_key, digest, app_state.settings.idempotency_ttl_s)


IdempotentRequestDep = Annotated[IdempotentRequest, Depends(idempotent_request)]


async def json_only(request: Request) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise UnsupportedMedia("Send JSON, with the header `Content-Type: application/json`.")


JsonOnly = Depends(json_only)


def request_digest(request: Request, body: bytes) -> str:
    """Of method, path, query and body."""
    said = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return hashlib.sha256(said + body).hexdigest()


def respond(answer: StoredResponse) -> JSONResponse:
    return JSONResponse(answer.body, answer.status, answer.headers)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Statuses that a route may answer with besides those that all may; `app/api/openapi.py` describes them."""
    return {status: {} for status in statuses}
