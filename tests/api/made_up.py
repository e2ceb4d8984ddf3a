"""Requests made up from the OpenAPI document, and what every answer is held to."""

from __future__ import annotations

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from tests.api.conftest import Api

#: The same examples in every run, however long they take.
REPEATABLE = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
#: A request that fails is told as it was made up: a smaller one would take many more.
REQUESTS = settings(REPEATABLE, phases=[Phase.explicit, Phase.generate])
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


def check_answer(api: Api, case: schemathesis.Case) -> None:
    """Sends the request; fails on an answer that the document does not tell of."""
    headers = {"Authorization": api.http.headers["Authorization"]}
    response = case.call(base_url=str(api.http.base_url), headers=headers, timeout=60)
    case.validate_response(response, checks=CHECKS)
