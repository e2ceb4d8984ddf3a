"""The predict operations of the OpenAPI document against the whole API with a real predictor: made-up requests get
documented answers and never a server error, and nothing is answered without a token."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import hypothesis.strategies as st
import pytest
import schemathesis
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from app.config import Settings
from app.log import configure
from app.registry.db import Database, make_engine
from app.storage import Storage
from tests.api.conftest import Api, run_api
from tests.api.made_up import REPEATABLE, REQUESTS, check_answer
from tests.fork_server import Lender
from tests.published_models import publish
from tests.serving.test_front import ROW
from tests.waiting import wait_for

EXAMPLES = 25
VERBS = ("predict", "classify", "regress")
ANY_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def api(
    tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path, exports: Path, fork_server: Lender
) -> Iterator[Api]:
    """With one model, `mixed`, that predicts and classifies; its version 1 is served as `latest`."""
    data_dir = tmp_path_factory.mktemp("documented") / "data"
    data_dir.mkdir()
    shutil.copy(migrated_sqlite, data_dir / "registry.db")
    settings = Settings(data_dir=data_dir, database_url="", redis_url="", artifacts_url="", predictor="process")
    database = Database(make_engine(settings))
    publish(database, Storage(settings.artifacts), "mixed", exports / "mixed")
    database.close()
    configure("WARNING")
    with fork_server.lent(), contextmanager(run_api)(settings) as running:
        wait_for(lambda: post(running, "predict", {"instances": [ROW]}).status_code == 200)
        yield running


def post(api: Api, verb: str, body: Any) -> httpx.Response:
    return api.http.post(f"/v1/models/mixed:{verb}", json=body)


def operations(api: Api) -> list[Any]:
    schema = schemathesis.openapi.from_dict(api.http.get("/openapi.json").json())
    found = [result.ok() for result in schema.get_all_operations()]
    chosen = [operation for operation in found if operation.path.endswith(VERBS)]
    assert len(chosen) == 9
    return chosen


@pytest.mark.parametrize("number", range(9))
def test_made_up_predictions_get_documented_answers(api: Api, number: int) -> None:
    operation = operations(api)[number]

    @given(case=operation.as_strategy(), known=st.booleans())
    @hypothesis_settings(REQUESTS, max_examples=EXAMPLES)
    def check(case: schemathesis.Case, known: bool) -> None:
        if known:  # else a model that is not there, nearly always
            case.path_parameters |= {"model": "mixed"}
            case.path_parameters |= {name: value for name, value in KNOWN.items() if name in case.path_parameters}
        check_answer(api, case)

    check()


KNOWN = {"version": 1, "label": "latest"}


def test_any_value_of_any_feature_is_answered_or_refused_with_its_place(api: Api) -> None:
    @given(name=st.sampled_from(sorted(ROW)), value=ANY_JSON, verb=st.sampled_from(["predict", "classify"]))
    @hypothesis_settings(REPEATABLE, max_examples=300)
    def check(name: str, value: Any, verb: str) -> None:
        rows = [ROW, {**ROW, name: value}]
        answer = post(api, verb, {"instances": rows} if verb == "predict" else {"examples": rows})
        assert answer.status_code in (200, 422), answer.text
        if answer.status_code == 422:
            assert answer.json()["status"] == 422

    check()
    assert post(api, "predict", {"instances": [ROW]}).json()["predictions"][0]["total"] == 31310.5


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("place", ["", "/versions/1", "/labels/latest"])
def test_prediction_without_a_token_is_401(api: Api, verb: str, place: str) -> None:
    url = f"{str(api.http.base_url).rstrip('/')}/v1/models/mixed{place}:{verb}"
    rows = {"instances": [ROW]} if verb == "predict" else {"examples": [ROW]}
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = httpx.post(url, json=rows, headers=headers, trust_env=False)
        assert answer.status_code == 401, answer.text
        assert answer.json()["status"] == 401
