"""Specifications that earlier releases stored: today's code writes the same ones."""

from __future__ import annotations

import copy
import json

import pytest

from app.jobs.parse import parse_job
from tests.jobs.stored import NAMES, StoredSources, find_dataset, stored


@pytest.mark.parametrize("name", NAMES)
def test_request_gives_the_stored_specification(name: str) -> None:
    case = stored(name)
    request = copy.deepcopy(case["request"])
    sources = None if case["source"] is None else StoredSources(case["source"])
    plan = parse_job(request, find_dataset, sources, catalogue=["mine"])
    assert json.loads(json.dumps(plan.spec)) == case.get("newer", case["spec"])
    assert plan.warnings == case["warnings"]
    assert request == case["request"]  # the caller's body is not changed
