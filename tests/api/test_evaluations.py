"""One evaluation and its report, as JSON and as a page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from app.registry.evaluations import EvaluationRepository
from app.registry.tables import Evaluation
from tests.api.conftest import Api
from tests.api.test_models import publish
from tests.registry.conftest import make_job
from workers.report import report
from workers.report.classification_part import Classified
from workers.report.regression_part import Measured


def classifier_report(seed: int = 0) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([1.0, 1.0, 1.0], 200)
    data = Classified(rng.integers(0, 3, 200), probabilities, ["Adélie", "<Gentoo>", "Chinstrap"])
    columns = {"island": rng.choice(["Dream", "Biscoe"], 200).astype(object), "year": rng.integers(2007, 2010, 200)}
    head = report.describe(data, columns, np.arange(200), total_rows=500)
    return {"heads": {"": head}, "importance": [{"column": "island", "loss_increase": 0.25}], "notes": []}


def regression_report() -> dict[str, object]:
    rng = np.random.default_rng(1)
    labels = rng.normal(size=100)
    head = report.describe(Measured(labels, labels + 0.1), {}, np.arange(100), total_rows=100)
    return {"heads": {"price": head}, "importance": [], "notes": ["The head 'text' has no report: it is sequential."]}


def record(api: Api, train_job: str, step: int, made: dict[str, object] | None, dataset: str) -> str:
    """An evaluation by a job of its own."""
    with api.service.database.session() as session:
        job = make_job(session, type="evaluate", model="things")
        job.state, job.attempt = "RUNNING", 1
        session.flush()
        row = EvaluationRepository(session).add(
            job.id, 1, train_job_id=train_job, step=step, metrics={"accuracy": 0.5}, dataset_id=dataset, report=made
        )
        assert isinstance(row, Evaluation)
        return row.id


def test_evaluation_is_shown_by_its_id(api: Api) -> None:
    dataset, job = api.dataset(), api.submit()
    found = api.http.get(f"/v1/evaluations/{record(api, job, 7, None, dataset)}").json()
    assert (found["train_job"], found["step"], found["metrics"]) == (job, 7, {"accuracy": 0.5})


def test_evaluation_without_a_report_says_so(api: Api) -> None:
    dataset, job = api.dataset(), api.submit()
    answer = api.http.get(f"/v1/evaluations/{record(api, job, 7, None, dataset)}/report")
    assert answer.status_code == 404
    assert "no report" in answer.json()["detail"]


def test_unknown_evaluation_is_not_found(api: Api) -> None:
    unknown = "eval_" + "0" * 26
    assert api.http.get(f"/v1/evaluations/{unknown}").status_code == 404
    assert api.http.get(f"/v1/evaluations/{unknown}/report").status_code == 404


def test_report_is_answered_as_it_was_made(api: Api) -> None:
    dataset, job, made = api.dataset(), api.submit(), classifier_report()
    evaluation = record(api, job, 7, made, dataset)
    found = api.http.get(f"/v1/evaluations/{evaluation}/report").json()
    assert found == {"evaluation": evaluation, **made, "live": None}


class Page(HTMLParser):
    """What a page asks for from elsewhere, its headings, and whether its elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.asked += [value or "" for name, value in attrs if name in {"src", "href", "action"}]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.asked += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("make", [classifier_report, regression_report])
def test_page_needs_nothing_else_and_is_well_formed(api: Api, make: object) -> None:
    assert callable(make)
    dataset, job = api.dataset(), api.submit()
    answer = api.http.get(f"/v1/evaluations/{record(api, job, 7, make(), dataset)}/report", params={"format": "html"})
    page = Page(answer.text)
    assert (page.open, page.asked) == ([], [])
    assert "script" not in answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_page_shows_names_as_they_are_written(api: Api) -> None:
    dataset, job = api.dataset(), api.submit()
    answer = api.http.get(f"/v1/evaluations/{record(api, job, 7, classifier_report(), dataset)}/report?format=html")
    assert "Adélie" in answer.text
    assert "&lt;Gentoo&gt;" in answer.text
    assert re.search(r"<h3>Confusion matrix</h3>.*ROC, area.*By island.*Worst rows", answer.text, re.DOTALL)


def test_report_of_the_live_version_stands_beside_it(api: Api) -> None:
    number = publish(api)
    live_job = api.http.get(f"/v1/models/things/versions/{number}").json()["versions"][0]["job"]
    dataset, candidate_job = api.dataset(), api.submit()
    live = record(api, live_job, 10, classifier_report(3), dataset)
    candidate = record(api, candidate_job, 9, classifier_report(4), dataset)

    beside = api.http.get(f"/v1/evaluations/{candidate}/report").json()["live"]
    assert (beside["version"], beside["evaluation"]) == (number, live)
    assert beside["heads"] == classifier_report(3)["heads"]
    assert f"version {number} (live)" in api.http.get(f"/v1/evaluations/{candidate}/report?format=html").text
    assert api.http.get(f"/v1/evaluations/{live}/report").json()["live"] is None
