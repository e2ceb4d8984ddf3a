"""Specifications that earlier releases stored: today's code reads them, and writes the same ones."""

from __future__ import annotations

import copy
import json

import pytest

from app.errors import InvalidInput
from app.jobs.parse import parse_job
from app.jobs.spec import decode, encode
from tests.jobs.stored import NAMES, StoredSources, find_dataset, stored


@pytest.mark.parametrize("name", NAMES)
def test_request_gives_the_stored_specification(name: str) -> None:
    case = stored(name)
    request = copy.deepcopy(case["request"])
    sources = None if case["source"] is None else StoredSources(case["source"])
    plan = parse_job(request, find_dataset, sources, catalogue=["mine"])
    assert json.loads(json.dumps(encode(plan.spec))) == case.get("newer", case["spec"])
    assert plan.warnings == case["warnings"]
    assert request == case["request"]  # the caller's body is not changed


@pytest.mark.parametrize("name", NAMES)
def test_stored_specification_is_decoded_and_encoded_again(name: str) -> None:
    case = stored(name)
    spec = decode(case["spec"])
    assert spec.type == case["spec"]["type"]
    assert json.loads(json.dumps(encode(spec))) == case.get("newer", case["spec"])


def test_unreadable_specification_names_the_field() -> None:
    content = stored("train_minimal")["spec"]
    content["train"]["momentum"] = 0.9  # as a later release may store it
    with pytest.raises(InvalidInput, match="train/train/momentum: extra_forbidden"):
        decode(content)
    with pytest.raises(InvalidInput, match="cannot read the job's specification"):
        decode({"type": "dance"})
