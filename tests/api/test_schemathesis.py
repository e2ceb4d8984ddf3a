"""Made-up requests for every operation: no server error, no answer that the document does not tell of."""

from __future__ import annotations

import json

import schemathesis
from hypothesis import given, settings

from tests.api.conftest import Api, train_job
from tests.api.made_up import REQUESTS, check_answer

EXAMPLES = 8
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
    count = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path.endswith(PREDICT):
            continue
        count += 1

        @given(case=operation.as_strategy())
        @settings(REQUESTS, max_examples=EXAMPLES)
        def check(case: schemathesis.Case) -> None:
            check_answer(api, case)

        check()
    assert count > 30
