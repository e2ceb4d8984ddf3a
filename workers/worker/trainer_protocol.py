"""Messages between a Celery pool child and its trainer: one JSON object per line, over the trainer's standard input and
output.

    to the trainer     {"run": {claim}, "timings": {...}}    {"drain": true}
    from the trainer   {"ready": true}                       {"started": true, "job_id": …, "attempt": …}
                       {"ended": outcome, "job_id": …, "attempt": …}

A trainer that is forked (`workers/fork_server.py`) has a keeper, with which the pool child exchanges packets over a
socket:

    to the keeper      {"words": […], "environment": {…}} with descriptors: standard input, output and error, others
    from the keeper    KEEPER_READY first    FORKED: process number    ENDED: exit code or minus signal, peak (KiB)
"""

from __future__ import annotations

import dataclasses
import json
import struct
from typing import Any

from app.jobs.spec import decode as decode_spec
from app.jobs.spec import encode as encode_spec
from app.registry.jobs.attempts import CheckpointInfo, Claim, GangMember

KEEPER_READY = b"?"
FORKED = struct.Struct("<I")
ENDED = struct.Struct("<iq")
MOST_BYTES = 2**20
MOST_DESCRIPTORS = 64


def encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def claim_to_json(claim: Claim) -> dict[str, Any]:
    return {
        "job_id": claim.job_id,
        "attempt": claim.attempt,
        "spec": encode_spec(claim.spec),
        "timeout_s": claim.timeout_s,
        "resume": None if claim.resume is None else dataclasses.asdict(claim.resume),
        "gang": None if claim.gang is None else dataclasses.asdict(claim.gang),
    }


def claim_from_json(content: dict[str, Any]) -> Claim:
    resume, gang = content["resume"], content["gang"]
    return Claim(
        job_id=content["job_id"],
        attempt=content["attempt"],
        spec=decode_spec(content["spec"]),
        timeout_s=content["timeout_s"],
        resume=None if resume is None else CheckpointInfo(**resume),
        gang=None if gang is None else GangMember(tuple(gang["addresses"]), gang["number"]),
    )
