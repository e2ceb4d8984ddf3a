"""Server-Sent Events of a job, as they happen."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.responses import Response, StreamingResponse

from app.api.deps import AppStateDep, Caller, JobId, problems
from app.api.event_feed import Watch

router = APIRouter(tags=["jobs"])

_IDLE_S = 15.0
_LONGEST_S = 300.0
"""Then the stream ends and the client comes back, so that a revoked token does not listen for ever."""
_NOTHING_MORE = 204
_MAX_ID = 2**63 - 1
_EVENT = {
    "type": "object",
    "description": "One event of the stream; `data` is a JSON object.",
    "properties": {
        "id": {"type": "string"},
        "event": {"enum": ["state", "progress", "checkpoint", "evaluation", "export", "warning"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["id", "event", "data"],
}


@router.get(
    "/v1/jobs/{job_id}/events",
    operation_id="watch_job",
    summary="Events of a job (SSE)",
    response_class=StreamingResponse,
    responses={
        **problems(404),
        200: {
            "description": "Events `state progress checkpoint evaluation export warning`, each with an id.",
            "content": {"text/event-stream": {"schema": _EVENT}},
        },
        204: {"description": "The job has ended and there is nothing after `Last-Event-ID`: do not come back."},
    },
)
async def watch_job(
    app_state: AppStateDep,
    token: Caller,
    job_id: JobId,
    last_event_id: Annotated[str | None, Header(description="Go on after this event.", max_length=40)] = None,
) -> Response:
    """From the first event, or after `Last-Event-ID`, to the end of the job. Only the latest progress event is kept.
    The stream is closed after five minutes; come back with `Last-Event-ID`, as browsers do by themselves. A token may
    have `EVENT_STREAMS_PER_TOKEN` streams open at once; one more is answered 429."""
    after = int(last_event_id) if last_event_id and last_event_id.isascii() and last_event_id.isdigit() else 0
    watch = await app_state.feed.open(job_id, min(after, _MAX_ID), token_id=token.id)
    if watch.over:
        watch.close()
        return Response(status_code=_NOTHING_MORE)
    return _EventStream(watch)


class _EventStream(StreamingResponse):
    """Ends its watch with itself, whether or not anything was sent."""

    def __init__(self, watch: Watch) -> None:
        super().__init__(
            _texts(watch),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        self._watch = watch

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._watch.close()


async def _texts(watch: Watch) -> AsyncIterator[bytes]:
    yield b"retry: 1000\n\n"
    deadline = time.monotonic() + _LONGEST_S
    async for event in watch.events(idle_s=_IDLE_S):
        yield event.text if event else b": still here\n\n"
        if time.monotonic() > deadline:
            return
