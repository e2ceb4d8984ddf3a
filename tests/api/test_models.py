"""Models, versions, labels, lineage and metadata over HTTP."""

from __future__ import annotations

import json

import pytest

from app.registry.evaluations import EvaluationRepository
from app.registry.exports import ExportRepository
from app.registry.models import ModelRepository
from app.storage import Storage
from tests.api.conftest import Api
from tests.repositories import attempts

SERVING = {
    "format": 1,
    "features": [
        {"name": "size", "dtype": "float32", "shape": [2], "sequence": False, "length_input": None},
        {"name": "words", "dtype": "string", "shape": [], "sequence": True, "length_input": "words_length"},
    ],
    "signatures": {
        "serving_default": {
            "method": "predict",
            "input": "features",
            "outputs": [{"name": "probabilities", "dtype": "float32", "shape": [None, 3]}],
        },
        "examples": {"method": "predict", "input": "examples", "outputs": []},
    },
    "label_vocabulary": ["a", "b", "c"],
    "examples": [{"size": [1.0, 2.0], "words": ["x"]}],
}


def publish(api: Api, *, loaded: bool = True, promote: str | None = "latest") -> int:
    """A version of the model `things`, as a worker and the serving loop make it; its number."""
    job = api.submit()
    export_id = f"exp_{job[4:]}"
    with api.service.database.session() as session:
        assert attempts(session).claim(job, 0, "worker-1", 60)
        EvaluationRepository(session).add(job, 1, train_job_id=job, step=10, metrics={"loss": 1.0})
        ExportRepository(session).add(
            job,
            1,
            train_job_id=job,
            step=10,
            path=Storage.export_key(export_id),
            digest="sha256:0",
            bytes=5,
            export_id=export_id,
        )
        version = ModelRepository(session).create_version("things", export_id, job, {"job": job}, "STAGED", promote)
        if loaded:
            ModelRepository(session).version_loaded("things", version.number)
        attempts(session).succeed(job, 1, {})
        return version.number


def test_all_models_with_their_versions_and_states_come_in_one_call(api: Api) -> None:
    for loaded in (True, False):
        publish(api, loaded=loaded)
    (plain,) = api.http.get("/v1/models").json()["models"]
    assert plain.get("model_version_status") is None
    (model,) = api.http.get("/v1/models", params={"states": "true"}).json()["models"]
    assert (model["name"], model["labels"]) == ("things", {"latest": 1})
    found = [(one["version"], one["state"], one["status"]["error_code"]) for one in model["model_version_status"]]
    assert found == [("2", "LOADING", "OK"), ("1", "AVAILABLE", "OK")]
    assert api.http.get("/v1/models", params={"states": "perhaps"}).status_code == 422


def test_versions_are_compared_by_what_was_measured(api: Api) -> None:
    for _ in range(2):
        publish(api)
    found = api.http.get("/v1/models/things/evaluations").json()["evaluations"]
    assert [(row["version"], row["step"], row["metrics"]) for row in found] == [
        (2, 10, {"loss": 1.0}),
        (1, 10, {"loss": 1.0}),
    ]
    other = api.upload(b"a,b\n1,2\n", "other.csv").json()["id"]
    assert api.http.get("/v1/models/things/evaluations", params={"dataset": other}).json() == {"evaluations": []}
    assert api.http.get("/v1/models/nothing/evaluations").status_code == 404


def test_status_is_as_tensorflow_serving_tells_it(api: Api) -> None:
    publish(api)
    publish(api, loaded=False)

    status = api.http.get("/v1/models/things").json()

    assert status["model_version_status"] == [
        {"version": "2", "state": "LOADING", "status": {"error_code": "OK", "error_message": ""}},
        {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}},
    ]
    assert status["labels"] == {"latest": 1}
    assert api.http.get("/v1/models").json()["models"][0]["live_versions"] == [1]


def test_failed_version_says_why(api: Api) -> None:
    number = publish(api, loaded=False)
    with api.service.database.session() as session:
        ModelRepository(session).version_failed("things", number, "it is broken")

    status = api.http.get(f"/v1/models/things/versions/{number}").json()

    assert status["model_version_status"][0] == {
        "version": "1",
        "state": "END",
        "status": {"error_code": "FAILED_PRECONDITION", "error_message": "it is broken"},
    }
    assert api.http.put("/v1/models/things/labels/latest", json={"version": number}).status_code == 409


def test_version_shows_its_lineage_and_evaluations(api: Api) -> None:
    number = publish(api)

    version = api.http.get(f"/v1/models/things/versions/{number}").json()["versions"][0]

    assert version["lineage"]["job"] == version["job"]
    assert version["labels"] == ["latest"]
    assert [evaluation["metrics"] for evaluation in version["evaluations"]] == [{"loss": 1.0}]
    assert api.http.get("/v1/models/things/labels/latest").json()["versions"] == [version]


def test_label_moves_with_etag_and_if_match(api: Api) -> None:
    publish(api)
    publish(api)
    url = "/v1/models/things/labels/latest"
    etag = api.http.get(url).headers["etag"]

    moved = api.http.put(url, json={"version": 1}, headers={"If-Match": etag})
    late = api.http.put(url, json={"version": 2}, headers={"If-Match": etag})

    assert (moved.status_code, moved.json()["version"], moved.json()["previous"]) == (200, 1, 2)
    assert moved.headers["etag"] != etag
    assert late.status_code == 412
    assert api.http.get(url).json()["labels"] == {"latest": 1}


def test_new_label_only_if_there_is_none(api: Api) -> None:
    publish(api)
    url = "/v1/models/things/labels/stable"
    only_new = {"If-None-Match": "*"}

    assert api.http.put(url, json={"version": 1}, headers=only_new).status_code == 200
    assert api.http.put(url, json={"version": 1}, headers=only_new).status_code == 412


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({"version": 9}, {}, 404),
        ({"version": "1"}, {}, 422),
        ({"version": 0}, {}, 422),
        ({"version": 1, "force": True}, {}, 422),
        ({}, {}, 422),
        ({"version": 1}, {"If-Match": "later"}, 422),
        ({"version": 1}, {"If-Match": "1", "If-None-Match": "*"}, 422),
    ],
)
def test_wrong_label_request_is_refused(api: Api, body: object, headers: dict[str, str], status: int) -> None:
    publish(api)

    assert api.http.put("/v1/models/things/labels/latest", json=body, headers=headers).status_code == status


def test_metadata_is_in_tensorflow_servings_form(api: Api) -> None:
    number = publish(api)
    job = api.http.get(f"/v1/models/things/versions/{number}").json()["versions"][0]["job"]
    extra = api.service.storage.path(Storage.export_key(f"exp_{job[4:]}")) / "assets.extra"
    extra.mkdir(parents=True)
    (extra / "serving.json").write_text(json.dumps(SERVING))

    metadata = api.http.get("/v1/models/things/metadata").json()

    assert metadata["model_spec"] == {"name": "things", "signature_name": "", "version": "1"}
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["size"] == {
        "dtype": "DT_FLOAT",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}, {"size": "2", "name": ""}], "unknown_rank": False},
        "name": "size",
    }
    assert set(signature["inputs"]) == {"size", "words"}
    assert metadata["examples"] == SERVING["examples"]
    for place in ("/versions/1", "/labels/latest"):
        assert api.http.get(f"/v1/models/things{place}/metadata").json() == metadata


def test_stored_version_can_be_loaded_again(api: Api) -> None:
    number = publish(api, loaded=False)
    with api.service.database.session() as session:
        ModelRepository(session).version_failed("things", number, "no memory")

    assert api.http.post(f"/v1/models/things/versions/{number}/load").json()["versions"][0]["state"] == "STAGED"
    assert api.http.post(f"/v1/models/things/versions/{number}/load").status_code == 409


@pytest.mark.parametrize("path", ["", "/versions/1", "/labels/latest", "/metadata", "/versions/1/metadata"])
def test_unknown_model_is_404_with_tensorflow_servings_error(api: Api, path: str) -> None:
    answer = api.http.get(f"/v1/models/nobody{path}")

    assert answer.status_code == 404
    assert answer.json()["error"] == answer.json()["detail"]


def test_predict_without_a_predictor_is_503(api: Api) -> None:
    answer = api.http.post("/v1/models/things:predict", json={"instances": [{}]})

    assert answer.status_code == 503
    assert "error" in answer.json()


def test_label_is_divided_and_shown_with_its_canary(api: Api) -> None:
    publish(api)
    publish(api)
    url = "/v1/models/things/labels/latest"
    made = api.http.put(url, json={"version": 1, "canary": {"version": 2, "per_mille": 50}})
    assert made.status_code == 200, made.text
    assert made.json()["canary"] == {"version": 2, "per_mille": 50, "by": "x-request-key"}
    assert api.http.get(url).json()["canary"] == made.json()["canary"]
    for wrong in ({"version": 2, "per_mille": 1001}, {"version": 2}, {"version": 2, "per_mille": 5, "by": "Cookie"}):
        assert api.http.put(url, json={"version": 1, "canary": wrong}).status_code == 422
    assert api.http.put(url, json={"version": 1, "canary": {"version": 1, "per_mille": 5}}).status_code == 409
    assert api.http.put(url, json={"version": 2}).json()["canary"] is None
    assert api.http.get(url).json().get("canary") is None
