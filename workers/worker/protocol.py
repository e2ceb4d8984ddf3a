"""What a Celery pool child and its trainer say to each other: one JSON object a line, over the trainer's standard input
and output.

    to the trainer     {"run": {claim}, "timings": {...}}    {"drain": true}
    from the trainer   {"ready": true}                       {"started": true, "job_id": …, "attempt": …}
                       {"ended": outcome, "job_id": …, "attempt": …}
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from app.registry.jobs.attempts import CheckpointInfo, Claim


def encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def claim_to_json(claim: Claim) -> dict[str, Any]:
    return dataclasses.asdict(claim)


def claim_from_json(content: dict[str, Any]) -> Claim:
    resume = content["resume"]
    return Claim(**(content | {"resume": None if resume is None else CheckpointInfo(**resume)}))
