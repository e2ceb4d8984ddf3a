"""Releases with a real API, a real predictor and the reconciler's part: a worse version goes back, a good one goes on.

Each model has version 1 (y = x / 2 + 2) behind `latest`, and a version 2 that is worse in its own way, or as good.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from app.protocols.oip_schema import PUBLIC
from app.registry.models import ModelRepository
from app.serving.split import Share, Split
from tests.api.conftest import Api, run_api, sqlite_settings
from tests.fork_server import Lender
from tests.ports import free_port
from tests.published_models import publish
from tests.serving.test_split import CHI_SQUARE_1, chi_square
from tests.waiting import wait_for
from workers.release_keeper import ReleaseKeeper

FEW = [float(number) for number in range(10)]
"""Quality is told by 20 values of a feature at most."""
MODELS = {"good": "plus3", "fails": "failing", "lags": "slow", "told": "plus3"}


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path, exports: Path, fork_server: Lender
) -> Iterator[Api]:
    settings = sqlite_settings(tmp_path_factory.mktemp("releases") / "data", migrated_sqlite)
    settings = settings.model_copy(
        update={"predictor": "process", "serving_poll_s": 0.05, "release_counts_s": 0.1, "grpc_port": free_port()}
    )
    with fork_server.lent(), contextmanager(run_api)(settings) as api:
        for model, worse in MODELS.items():
            publish(api.service.database, api.service.storage, model, exports / "plus2")
            publish(api.service.database, api.service.storage, model, exports / worse, label=None)
        wait_for(partial(all_available, api))
        yield api


def all_available(api: Api) -> bool:
    with api.service.database.read() as session:
        return not ModelRepository(session).staged()


def ask(api: Api, model: str, x: float = 1.0, key: str | None = None) -> tuple[int, int]:
    """Status, and the version that answered."""
    headers = {} if key is None else {"x-request-key": key}
    answer = api.http.post(f"/v1/models/{model}:predict", json={"instances": [{"x": x}]}, headers=headers)
    number = int(answer.headers["x-model-version"])
    if answer.status_code == 200:
        assert answer.json()["predictions"] == [x / 2 + (3 if (model, number) == ("good", 2) else 2)]
    return answer.status_code, number


def begin(api: Api, model: str, **changes: Any) -> str:
    body = {
        "version": 2,
        "steps": [{"per_mille": 300, "seconds": 0.3, "min_requests": 30}, {"per_mille": 700, "seconds": 0.3}],
        "guards": {"error_rate": 0.02, "p99_ratio": None, "window_s": 5.0},
        **changes,
    }
    made = api.http.post(f"/v1/models/{model}/releases", json=body)
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


def show(api: Api, model: str, release: str) -> dict[str, Any]:
    return dict(api.http.get(f"/v1/models/{model}/releases/{release}").json())


def drive(api: Api, model: str, release: str, *, until: str) -> tuple[dict[str, Any], Counter[tuple[int, int]]]:
    """Asks the model, and has the reconciler look, until the release has that state."""
    answers: Counter[tuple[int, int]] = Counter()
    end = time.monotonic() + 240
    while (seen := show(api, model, release))["state"] != until:
        assert time.monotonic() < end, seen
        assert seen["state"] == "RUNNING", seen
        answers.update(ask(api, model, x=float(number % 10)) for number in range(30))
        ReleaseKeeper(api.service.database).round()  # a new one each time: nothing is kept in the process
    return seen, answers


def settled(api: Api, model: str, number: int) -> None:
    """All requests go to that version. A share that still holds could give it a row of answers by accident."""
    with api.service.database.read() as session:
        label = ModelRepository(session).label(model, "latest")
    assert (label.version, label.canary) == (number, None)
    serving = api.service.promotions.serving
    assert serving is not None
    wait_for(lambda: serving.models.follow(model, "latest", label.revision))
    assert {ask(api, model) for _ in range(20)} == {(200, number)}


def test_divided_label_answers_by_key_on_both_ways_of_a_request(site: Api) -> None:
    body = {"version": 1, "canary": {"version": 2, "per_mille": 100}}
    url = "/v1/models/good/labels/latest"
    assert site.http.put(url, json=body).status_code == 200
    wait_for(lambda: (200, 2) in {ask(site, "good") for _ in range(20)})  # it is loaded
    keys = [f"user {number}" for number in range(300)]
    found = {key: ask(site, "good", key=key)[1] for key in keys}
    again = {key: ask(site, "good", key=key)[1] for key in keys[:50]}  # their heads are known: the fast path
    assert again == {key: found[key] for key in keys[:50]}
    assert chi_square(sum(number == 2 for number in found.values()), len(keys), 100) < CHI_SQUARE_1
    expected = other_host(100)
    assert found == {key: expected.choose({b"x-request-key": key.encode()}) for key in keys}
    assert site.http.put(url, json={"version": 1}).status_code == 200
    settled(site, "good", 1)


class OtherVersion(int):
    """A version that stands for its number."""

    loaded = True
    metrics: Any = None
    arms: dict[str, Any]
    number = property(int)


def other_host(per_mille: int) -> Split[Any]:
    """The same label as another host divides it."""
    one, two = OtherVersion(1), OtherVersion(2)
    one.arms, two.arms = {}, {}
    return Split("good", Share("latest", 1, canary=2, per_mille=per_mille), one, two)


def test_version_with_a_worse_error_rate_is_rolled_back(site: Api) -> None:
    release = begin(site, "fails")
    seen, answers = drive(site, "fails", release, until="ROLLED_BACK")
    assert answers[422, 2] > 3
    assert not answers[422, 1]
    assert "error rate" in seen["reason"]
    assert seen["step"] == 0
    assert [event["kind"] for event in seen["events"]] == ["started", "rolled_back"]
    settled(site, "fails", 1)
    assert site.http.get("/v1/models/fails/labels/latest").json().get("canary") is None


def test_version_with_worse_times_is_rolled_back(site: Api) -> None:
    release = begin(site, "lags", guards={"error_rate": None, "p99_ratio": 2.0, "window_s": 5.0},
                    steps=[{"per_mille": 300, "seconds": 600}])  # fmt: skip
    seen, answers = drive(site, "lags", release, until="ROLLED_BACK")
    assert {status for status, _ in answers} == {200}
    assert "99th percentile" in seen["reason"]
    broken = [found for found in seen["findings"] if found["verdict"] == "broken"]
    assert broken[0]["new"] > 2 * broken[0]["live"]
    settled(site, "lags", 1)


def test_version_that_is_as_good_gets_all_requests_and_none_fails(site: Api) -> None:
    release = begin(site, "good")
    seen, answers = drive(site, "good", release, until="DONE")
    assert {status for status, _ in answers} == {200}
    assert [event["kind"] for event in seen["events"]] == ["started", "step", "done"]
    settled(site, "good", 2)
    audit = site.http.get("/v1/audit").json()["entries"]
    told = [entry["action"] for entry in audit if entry["detail"].get("release") == release]
    assert told == ["release.done", "release.step", "release.started"]
    assert site.http.put("/v1/models/good/labels/latest", json={"version": 1}).status_code == 200
    settled(site, "good", 1)


def test_release_is_paused_resumed_and_aborted(site: Api) -> None:
    release = begin(site, "good", steps=[{"per_mille": 500, "seconds": 600}])
    url = f"/v1/models/good/releases/{release}"
    assert begin_again(site) == 409
    assert site.http.post(f"{url}/pause").json()["state"] == "PAUSED"
    assert site.http.post(f"{url}/pause").status_code == 409
    assert site.http.post(f"{url}/resume").json()["state"] == "RUNNING"
    wait_for(lambda: (200, 2) in {ask(site, "good") for _ in range(10)})
    assert site.http.post(f"{url}/abort").json()["state"] == "ABORTED"
    settled(site, "good", 1)
    assert site.http.get("/v1/models/good/releases").json()["releases"][0]["id"] == release
    assert site.http.get("/v1/models/fails/releases/" + release).status_code == 404


def begin_again(api: Api) -> int:
    return api.http.post("/v1/models/good/releases", json={"version": 2}).status_code


def test_shadow_is_compared_and_changes_no_answer(site: Api) -> None:
    url = "/v1/models/good/labels/latest"
    assert site.http.put(url, json={"version": 1, "shadow": 2}).json()["shadow"] == 2

    def compared() -> bool:
        assert {ask(site, "good", x=float(number)) for number in range(10)} == {(200, 1)}
        arms = site.http.get(url).json()["arms"]
        return bool(arms[1].get("compared", 0) >= 5)

    wait_for(compared)
    live, shadow = site.http.get(url).json()["arms"]
    assert (live["role"], live["version"], shadow["role"], shadow["version"]) == ("live", 1, "shadow", 2)
    assert (shadow["agreement"], shadow["largest_difference"], shadow["errors"]) == (0.0, 1.0, 0)  # y + 1
    assert live["p50_s"] > 0
    assert shadow["p50_s"] > 0
    assert shadow["requests"] + shadow["skipped"] <= live["requests"]
    assert site.http.put(url, json={"version": 1}).json()["shadow"] is None


def test_shadow_that_disagrees_is_rolled_back_before_it_answered_anybody(site: Api) -> None:
    steps = [{"shadow": True, "seconds": 600}, {"per_mille": 100}]
    release = begin(site, "good", steps=steps, guards={"p99_ratio": None, "disagreement": 0.05, "window_s": 5.0})
    seen, answers = drive(site, "good", release, until="ROLLED_BACK")
    assert set(answers) == {(200, 1)}
    assert "disagreement" in seen["reason"]


def test_shadow_that_agrees_goes_on_to_the_first_share(site: Api) -> None:
    steps = [{"shadow": True, "seconds": 0.1, "min_requests": 5}, {"per_mille": 500, "seconds": 600}]
    release = begin(site, "lags", steps=steps, guards={"p99_ratio": None, "disagreement": 0.05, "window_s": 5.0})
    end = time.monotonic() + 240
    while (seen := show(site, "lags", release))["step"] == 0:
        assert time.monotonic() < end, seen
        assert {ask(site, "lags", x=float(number))[0] for number in range(10)} == {200}
        ReleaseKeeper(site.service.database).round()
    compared = seen["events"][1]["detail"]["arms"][1]
    assert compared["agreement"] == 1.0
    assert compared["largest_difference"] == 0.0
    site.http.post(f"/v1/models/lags/releases/{release}/abort")


def predict(api: Api, xs: list[float], *, model: str = "good", **params: str) -> Any:
    answer = api.http.post(f"/v1/models/{model}:predict", json={"instances": [{"x": x} for x in xs]}, params=params)
    assert answer.status_code == 200, answer.text
    return answer


def send(api: Api, labels: dict[str, float], *, model: str = "good") -> int:
    """How many of the predictions are kept already."""
    items = [{"prediction_id": name, "label": label} for name, label in labels.items()]
    answer = api.http.post(f"/v1/models/{model}/feedback", json={"items": items})
    assert answer.status_code == 200, answer.text
    return int(answer.json()["kept"])


@pytest.fixture
def keeping(site: Api) -> Iterator[Api]:
    with keep(site, "good"):
        yield site


@contextmanager
def keep(site: Api, model: str) -> Iterator[None]:
    """All requests of the model are kept."""
    made = site.http.put(f"/v1/models/{model}/keep", json={"per_mille": 1000})
    assert made.status_code == 200, made.text
    serving = site.service.promotions.serving
    assert serving is not None
    wait_for(lambda: serving.models.versions[model, 1].wanted.keep is not None)
    yield
    site.http.put(f"/v1/models/{model}/keep", json={"per_mille": 0})


def test_every_answer_has_an_identifier_and_each_instance_where_asked(site: Api) -> None:
    known, again = predict(site, [1.0]), predict(site, [1.0])  # the second goes the fast way
    assert known.headers["x-prediction-id"].startswith("pred_")
    assert known.headers["x-prediction-id"] != again.headers["x-prediction-id"]
    answer = predict(site, [1.0, 2.0], ids="true")
    name = answer.headers["x-prediction-id"]
    assert answer.json() == {"predictions": [2.5, 3.0], "ids": [f"{name}.0", f"{name}.1"]}


def test_labels_tell_quality_and_become_a_data_set(site: Api) -> None:
    with keep(site, "told"):  # whose labels are those of this test, in whatever order tests come
        labels_tell_quality(site)


def labels_tell_quality(site: Api) -> None:
    first = predict(site, [0.0, 2.0, 4.0], model="told", ids="true").json()  # 2, 3, 4
    labels = dict(zip(first["ids"], [2.0, 3.5, 4.0], strict=True))
    early = send(site, labels, model="told")
    assert early <= 3
    wait_for(lambda: send(site, labels, model="told") == 3)
    second = predict(site, [2.0], model="told").headers["x-prediction-id"]
    wait_for(lambda: send(site, {second: 3.0}, model="told") == 1)
    [version] = site.http.get("/v1/models/told/quality", params={"by": "x"}).json()["versions"]
    assert (version["version"], version["labelled"], version["mean_absolute_error"]) == (1, 4, 0.125)
    labelled = [day["labelled"] for day in version["days"]]
    assert labelled == [4] or (sum(labelled), len(labelled)) == (4, 2)  # a day may end meanwhile
    slices = {one["value"]: (one["labelled"], one["mean_absolute_error"]) for one in version["slices"]}
    assert slices == {0.0: (1, 0.0), 2.0: (2, 0.25), 4.0: (1, 0.0)}
    made = site.http.post("/v1/models/told/feedback/dataset", json={"name": "came back", "label": "y"})
    assert made.status_code == 201, made.text
    assert (made.json()["rows"], [column["name"] for column in made.json()["columns"]]) == (4, ["x", "y"])
    preview = site.http.get(f"/v1/datasets/{made.json()['id']}/preview").json()["rows"]
    assert sorted((row["x"], row["y"]) for row in preview) == [(0.0, 2.0), (2.0, 3.0), (2.0, 3.5), (4.0, 4.0)]
    clash = site.http.post("/v1/models/told/feedback/dataset", json={"name": "clash", "label": "x"})
    assert clash.status_code == 422


def test_redacted_values_are_nowhere(keeping: Api) -> None:
    keeping.http.put("/v1/models/good/keep", json={"per_mille": 1000, "redact": ["x"]})
    serving = keeping.service.promotions.serving
    assert serving is not None
    wait_for(lambda: bool((keep := serving.models.versions["good", 1].wanted.keep) and keep.redact))
    name = predict(keeping, [123456.5]).headers["x-prediction-id"]
    wait_for(lambda: send(keeping, {name: 1.0}) == 1)
    versions = keeping.http.get("/v1/models/good/quality", params={"by": "x"}).json()["versions"]
    values = {one["value"] for version in versions for one in version["slices"]}
    assert 123456.5 not in values
    assert None in values


def test_version_with_worse_labels_is_rolled_back(keeping: Api) -> None:
    release = begin(keeping, "good", steps=[{"per_mille": 500, "seconds": 600}],
                    guards={"error_rate": None, "p99_ratio": None, "quality": 0.1, "window_s": 5.0})  # fmt: skip
    end = time.monotonic() + 240
    while (seen := show(keeping, "good", release))["state"] == "RUNNING":
        assert time.monotonic() < end, seen
        labels = {predict(keeping, [x]).headers["x-prediction-id"]: x / 2 + 2.1 for x in FEW * 2}
        send(keeping, labels)
        ReleaseKeeper(keeping.service.database).round()
    assert seen["state"] == "ROLLED_BACK", seen
    broken = next(found for found in seen["findings"] if found["guard"] == "quality")
    assert broken["live"] == pytest.approx(0.1)
    assert broken["new"] == pytest.approx(0.9)
    settled(keeping, "good", 1)


@pytest.fixture
def caller(site: Api) -> Iterator[Caller]:
    with grpc.insecure_channel(f"127.0.0.1:{site.service.settings.grpc_port}") as channel:
        yield Caller(channel, site.http.headers["Authorization"])


class Caller:
    """Speaks gRPC only."""

    def __init__(self, channel: grpc.Channel, authorization: str) -> None:
        self._infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        self._metadata = [("authorization", authorization)]

    def ask(self, model: str, x: float = 1.0) -> tuple[str, str]:
        """Status, and the identifier of the prediction."""
        request = PUBLIC.message("inference.ModelInferRequest")(model_name=model)
        request.inputs.add(name="x", datatype="FP32", shape=[1]).contents.fp32_contents.append(x)
        try:
            _, call = self._infer.with_call(request.SerializeToString(), metadata=self._metadata, timeout=60)
        except grpc.RpcError as error:
            return error.code().name, ""
        return "OK", dict(call.trailing_metadata())["x-prediction-id"]


def drive_by_grpc(api: Api, caller: Caller, model: str, release: str, until: Callable[[dict[str, Any]], bool]) -> Any:
    """Asks by gRPC only, and has the reconciler look, until the release is so; the release, and the statuses."""
    statuses: Counter[str] = Counter()
    end = time.monotonic() + 240
    while not until(seen := show(api, model, release)):
        assert time.monotonic() < end, seen
        statuses.update(caller.ask(model, float(number % 10))[0] for number in range(20))
        ReleaseKeeper(api.service.database).round()
    return seen, statuses


def test_shadow_goes_on_to_the_first_share_where_all_callers_speak_grpc(site: Api, caller: Caller) -> None:
    steps = [{"shadow": True, "seconds": 0.1, "min_requests": 5}, {"per_mille": 500, "seconds": 600}]
    release = begin(site, "lags", steps=steps, guards={"p99_ratio": None, "disagreement": 0.05, "window_s": 5.0})
    seen, statuses = drive_by_grpc(site, caller, "lags", release, lambda seen: seen["step"] == 1)
    assert set(statuses) == {"OK"}
    compared = seen["events"][1]["detail"]["arms"][1]
    assert (compared["agreement"], compared["largest_difference"]) == (1.0, 0.0)
    site.http.post(f"/v1/models/lags/releases/{release}/abort")
    settled(site, "lags", 1)


def test_version_that_fails_calls_by_grpc_is_rolled_back(site: Api, caller: Caller) -> None:
    release = begin(site, "fails")
    seen, statuses = drive_by_grpc(site, caller, "fails", release, lambda seen: seen["state"] == "ROLLED_BACK")
    assert statuses["INVALID_ARGUMENT"] > 3
    assert "error rate" in seen["reason"]
    settled(site, "fails", 1)


def test_version_with_worse_labels_is_rolled_back_where_all_callers_speak_grpc(keeping: Api, caller: Caller) -> None:
    release = begin(keeping, "good", steps=[{"per_mille": 500, "seconds": 600}],
                    guards={"error_rate": None, "p99_ratio": None, "quality": 0.1, "window_s": 5.0})  # fmt: skip
    end = time.monotonic() + 240
    while (seen := show(keeping, "good", release))["state"] == "RUNNING":
        assert time.monotonic() < end, seen
        send(keeping, {caller.ask("good", x)[1]: x / 2 + 2.1 for x in FEW * 2})
        ReleaseKeeper(keeping.service.database).round()
    assert seen["state"] == "ROLLED_BACK", seen
    settled(keeping, "good", 1)
