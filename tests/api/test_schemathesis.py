"""Made-up requests for every operation: no server error, no answer that the document does not tell of."""

from __future__ import annotations

import json

import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from tests.api.conftest import Api, train_job

EXAMPLES = 8
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
PREDICT = ("predict", "classify", "regress")


def test_made_up_requests_get_documented_answers(api: Api) -> None:
    """Predictions are apart: they need a predictor (`tests/serving/test_documented.py`)."""
    dataset = api.dataset()
    job = api.http.post("/v1/jobs", json=train_job(dataset)).json()["id"]
    api.http.post(f"/v1/jobs/{job}/cancel")  # the events of a job that has ended come to their end
    document = json.dumps(api.http.get("/openapi.json").json())
    # the document's sample ids are those of things that are there, so that some requests find something
    document = document.replace("ds_01k9zv0q2m8x4t6b3c5d7e9f1g", dataset).replace("job_01k9zv0q2m8x4t6b3c5d7e9f1g", job)
    schema = schemathesis.openapi.from_dict(json.loads(document))
    headers = {"Authorization": api.http.headers["Authorization"]}
    count = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path.endswith(PREDICT):
            continue
        count += 1

        @given(case=operation.as_strategy())
        @hypothesis_settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def check(case: schemathesis.Case) -> None:
            response = case.call(base_url=str(api.http.base_url), headers=headers, timeout=20)
            case.validate_response(response, checks=CHECKS)

        check()
    assert count > 30
