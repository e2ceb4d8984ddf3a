"""What of a model can be set while it answers: how it is served, and which requests are kept."""

from __future__ import annotations

import json

from estimator_client.cli.exits import Exit
from tests.api.conftest import Api
from tests.api.test_command_line import good, run
from tests.api.test_models import publish

PATH = "/v1/models/things/serving"
SERVICE = {
    "batch_rows": 1024,
    "queue_rows": 65536,
    "timeout_s": 10.0,
    "memory_bytes": 2**32,
    "priority": 5,
    "lanes": 1,
    "engine": "tensorflow",
}


def test_settings_take_the_place_of_those_before_and_show_what_is_in_force(api: Api) -> None:
    publish(api)
    nothing = api.http.get(PATH)
    assert nothing.headers["etag"] == '"0"'
    assert nothing.json() == {"model": "things", **dict.fromkeys(SERVICE), "in_force": SERVICE, "revision": 0}
    api.http.put(PATH, json={"batch_rows": 64, "priority": 0}).raise_for_status()
    given = {"timeout_s": 30, "queue_rows": 100, "memory_bytes": 2**20}
    answer = api.http.put(PATH, json=given)
    assert answer.json() == {
        "model": "things",
        **dict.fromkeys(SERVICE),
        **given,
        "in_force": {**SERVICE, **given},
        "revision": 2,
    }
    assert api.http.get(PATH).json() == answer.json()
    assert [entry["detail"] for entry in api.http.get("/v1/audit").json()["entries"][:1]] == [given]
    assert api.http.put(PATH, json={}).json()["in_force"] == SERVICE


OUT_OF_BOUNDS = [
    ({"batch_rows": 1025}, "/batch_rows", "PREDICT_MAX_BATCH_ROWS"),
    ({"queue_rows": 65537}, "/queue_rows", "PREDICT_MAX_QUEUE_ROWS"),
    ({"batch_rows": 0}, "/batch_rows", "greater"),
    ({"timeout_s": 0.01}, "/timeout_s", "greater"),
    ({"timeout_s": 3601}, "/timeout_s", "less"),
    ({"priority": 10}, "/priority", "less"),
    ({"priority": "1"}, "/priority", "integer"),
    ({"lanes": 0}, "/lanes", "greater"),
    ({"lanes": 65}, "/lanes", "less"),
    ({"lanes": 1.5}, "/lanes", "integer"),
    ({"speed": 1}, "/speed", ""),
    ({"engine": "theano"}, "/engine", "tensorflow"),
]


def test_setting_out_of_its_bounds_is_refused(api: Api) -> None:
    publish(api)
    for body, pointer, why in OUT_OF_BOUNDS:
        refused = api.http.put(PATH, json=body)
        assert refused.status_code == 422, body
        [error] = refused.json()["errors"]
        assert (error["pointer"], why in error["detail"]) == (pointer, True), error
    assert api.http.get(PATH).json()["revision"] == 0


def test_settings_that_another_changed_or_that_fit_no_version_are_refused(api: Api) -> None:
    publish(api)  # 5 bytes
    assert api.http.put(PATH, json={"priority": 1}, headers={"If-Match": '"0"'}).status_code == 200
    assert api.http.put(PATH, json={"priority": 2}, headers={"If-Match": '"0"'}).status_code == 412
    small = api.http.put(PATH, json={"memory_bytes": 4})
    assert (small.status_code, "needs 5 bytes" in small.json()["detail"]) == (409, True)
    assert api.http.put(PATH, json={"memory_bytes": 5}).status_code == 200
    assert api.http.get("/v1/models/nothing/serving").status_code == 404
    assert api.http.put("/v1/models/nothing/serving", json={}).status_code == 404


def test_settings_on_the_command_line_keep_what_is_not_named(api: Api) -> None:
    publish(api)
    good(api, "models", "serving", "things", "--batch-rows", "64", "--priority", "2")
    good(api, "models", "serving", "things", "--timeout-s", "2.5", "--unset", "batch-rows", "--engine", "onnx")
    shown = json.loads(good(api, "models", "serving", "things", "--json"))
    assert {row["setting"]: row["model"] for row in shown if row["model"] is not None} == {
        "timeout_s": 2.5,
        "priority": 2,
        "engine": "onnx",
    }
    assert {row["setting"]: row["in_force"] for row in shown}["batch_rows"] == 1024
    assert run(api, "models", "serving", "things", "--unset", "speed").exit_code == Exit.USAGE
    assert run(api, "models", "serving", "things", "--batch-rows", "2000").exit_code == Exit.REFUSED


def test_kept_requests_on_the_command_line(api: Api) -> None:
    publish(api)
    assert run(api, "models", "keep", "things", "--days", "3").exit_code == Exit.USAGE
    good(api, "models", "keep", "things", "--per-mille", "100", "--redact", "size", "--redact", "words")
    good(api, "models", "keep", "things", "--days", "3", "--bytes", "2000000")
    shown = json.loads(good(api, "models", "keep", "things", "--json"))
    set_now = {"per_mille": 100, "days": 3.0, "bytes": 2_000_000, "redact": ["size", "words"]}
    assert shown == {"model": "things", **set_now, "files": 0, "rows": 0, "kept_bytes": 0}
    assert json.loads(good(api, "models", "keep", "things", "--redact", "", "--json"))["redact"] == []
    assert "100" in good(api, "models", "keep", "things")
    assert run(api, "models", "keep", "things", "--days", "0").exit_code == Exit.REFUSED
    good(api, "models", "keep", "things", "--per-mille", "0")
    assert api.http.get("/v1/models/things/keep").json()["per_mille"] == 0
