"""The OpenAPI document: complete, current, and every operation behind the admission layer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.http.auth import PUBLIC_PATHS
from app.jobs.state import VersionState
from app.registry.checkpoints import CheckpointRepository
from app.registry.exports import ExportRepository
from app.registry.jobs.repository import JobRepository
from app.registry.models import ModelRepository
from tests.api.conftest import Api
from tests.repositories import attempts

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"
SAMPLES = {
    "job_id": "job_01k9zv0q2m8x4t6b3c5d7e9f1g",
    "dataset_id": "ds_01k9zv0q2m8x4t6b3c5d7e9f1g",
    "export_id": "exp_01k9zv0q2m8x4t6b3c5d7e9f1g",
    "evaluation_id": "eval_01k9zv0q2m8x4t6b3c5d7e9f1g",
    "token_id": "tok_01k9zv0q2m8x4t6b3c5d7e9f1g",
    "model": "penguins",
    "label": "latest",
    "version": "1",
    "release": "rel_01k9zv0q2m8x4t6b3c5d7e9f1g",
}


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method.upper(), path, operation)
        for path, found in document["paths"].items()
        for method, operation in found.items()
    ]


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    return dict(json.loads(COMMITTED.read_text()))


def test_committed_document_is_current(shared_api: Api) -> None:
    """Renew it with `scripts/openapi`."""
    assert shared_api.http.get("/openapi.json").json() == json.loads(COMMITTED.read_text())


def test_every_operation_without_a_token_is_401(shared_api: Api, committed: dict[str, Any]) -> None:
    found = operations(committed)
    assert len(found) > 40
    for method, path, _ in found:
        if path in PUBLIC_PATHS:
            continue
        answer = httpx.request(
            method, str(shared_api.http.base_url).rstrip("/") + path.format(**SAMPLES), trust_env=False
        )
        assert answer.status_code == 401, (method, path)
        assert answer.json()["status"] == 401


def test_every_operation_says_id_tag_summary_scope_and_errors(committed: dict[str, Any]) -> None:
    ids = []
    for method, path, operation in operations(committed):
        ids.append(operation["operationId"])
        assert operation["tags"], path
        assert operation["summary"], path
        assert "default" in operation["responses"], path
        assert (path in PUBLIC_PATHS) or operation["security"] == [{"token": []}], path
        if path not in PUBLIC_PATHS:
            assert "Scope: `" in operation["description"], (method, path)
    assert len(ids) == len(set(ids))


def test_predict_operations_are_in_the_document(committed: dict[str, Any]) -> None:
    for verb in ("predict", "classify", "regress"):
        for place in ("", "/versions/{version}", "/labels/{label}"):
            assert "post" in committed["paths"][f"/v1/models/{{model}}{place}:{verb}"]


def test_examples_of_jobs_work_when_sent(shared_api: Api, committed: dict[str, Any]) -> None:
    """`tests/workers/jobs/test_job_examples.py` runs them too."""
    header = "bill_length_mm,island,species\n"
    rows = [
        f"{40 + index % 9}.5,{['Biscoe', 'Dream', 'Torgersen'][index % 3]},{'ab'[index % 2]}" for index in range(40)
    ]
    dataset = shared_api.upload((header + "\n".join(rows)).encode()).json()["id"]
    content = committed["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
    examples = content["examples"]
    assert {example["value"]["type"] for example in examples.values()} == {"train", "evaluate", "export", "predict"}
    trained = ""
    for example in examples.values():
        body = json.loads(json.dumps(example["value"]).replace(SAMPLES["dataset_id"], dataset))
        if trained:
            body = json.loads(json.dumps(body).replace(SAMPLES["job_id"], trained))
        answer = shared_api.http.post("/v1/jobs", json=body)
        assert answer.status_code == 202, answer.text
        trained = trained or publish_trained(shared_api, answer.json()["id"])


def publish_trained(api: Api, job_id: str) -> str:
    """Gives a training job a checkpoint and a version that serves, as a worker would; its id."""
    with api.service.database.session() as session:
        jobs = JobRepository(session)
        claim = attempts(session).claim(job_id, jobs.get(job_id).attempt, "w", 60.0)
        assert claim is not None
        assert CheckpointRepository(session).add(job_id, claim.attempt, 100, f"jobs/{job_id}/1/model.ckpt-100", 1)
        export = ExportRepository(session).add(
            job_id, claim.attempt, train_job_id=job_id, step=100, path=f"exports/{job_id}", digest="sha256:0", bytes=1
        )
        assert export is not None
        ModelRepository(session).create_version(claim.spec.model, export.id, job_id, {}, VersionState.STORED, None)
        assert attempts(session).succeed(job_id, claim.attempt, {})
    return job_id


def test_every_field_of_a_job_request_has_a_description(committed: dict[str, Any]) -> None:
    schemas = committed["components"]["schemas"]
    body = committed["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    todo, seen, fields = [option["$ref"] for option in body["oneOf"]], set(), 0
    while todo:
        name = todo.pop().rpartition("/")[2]
        if name in seen:
            continue
        seen.add(name)
        for field, schema in schemas[name]["properties"].items():
            fields += 1
            assert schema.get("description", "").endswith((".", "lists them.", "schemas.")), (name, field)
        todo += re.findall(r"#/components/schemas/\w+", json.dumps(schemas[name]))
    assert fields > 70


def test_every_field_and_parameter_of_every_request_has_a_description(committed: dict[str, Any]) -> None:
    schemas, missing = committed["components"]["schemas"], set()
    for method, path, operation in operations(committed):
        for parameter in operation.get("parameters", ()):
            if not parameter.get("description"):
                missing.add(f"{method} {path} {parameter['name']}")
        found = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(operation.get("requestBody", {}))))
        seen: set[str] = set()
        while found - seen:
            name = min(found - seen)
            seen.add(name)
            found |= set(re.findall(r"#/components/schemas/(\w+)", json.dumps(schemas[name])))
            fields = schemas[name].get("properties", {}).items()
            missing |= {f"{name}.{field}" for field, schema in fields if not schema.get("description")}
    assert missing == set()


def test_example_of_a_token_works_when_sent(shared_api: Api, committed: dict[str, Any]) -> None:
    for example in committed["components"]["schemas"]["TokenRequest"]["examples"]:
        assert shared_api.http.post("/v1/tokens", json=example).status_code == 201


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/"])
def test_pages_load_from_this_server_only(shared_api: Api, path: str) -> None:
    answer = httpx.get(f"{shared_api.http.base_url}{path}", trust_env=False)

    assert answer.status_code == 200
    head = httpx.head(f"{shared_api.http.base_url}{path}", trust_env=False)
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", answer.headers["etag"])
    assert answer.headers["content-type"].startswith("text/html")
    assert "//" not in answer.text.replace("<!-- //", "")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for link in answer.text.split('"'):
        if link.startswith("/static/"):
            assert httpx.get(f"{shared_api.http.base_url}{link}", trust_env=False).status_code == 200, link


def test_static_file_that_the_browser_has_is_not_sent_again(shared_api: Api) -> None:
    address = f"{shared_api.http.base_url}/static/dashboard.js"
    first = httpx.get(address, trust_env=False)
    again = httpx.get(address, headers={"If-None-Match": first.headers["etag"]}, trust_env=False)
    changed = httpx.get(address, headers={"If-None-Match": '"another"'}, trust_env=False)

    assert (first.status_code, again.status_code, changed.status_code) == (200, 304, 200)
    assert again.content == b""
    assert changed.content == first.content
