"""The whole story in a real browser: a file with a fault, the mended one, a training, and questions to its model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browser import ENTER, MISSING, Browser
from tests.e2e.conftest import RunningService, wait_for
from tests.e2e.penguins import KNOWN_CSV
from tests.e2e.test_dashboard import go, opened, sign_in

pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


MODEL = "story"


@pytest.fixture(scope="module")
def service(embedded: RunningService) -> RunningService:
    return embedded


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


def signed_in(browser: Browser, service: RunningService) -> Browser:
    opened(browser, service)
    sign_in(browser, service)
    return browser


@dataclass(frozen=True)
class Story:
    """What the browser showed and the service knew, from the file with a fault to the end of the training."""

    dataset: str
    chosen: list[str]
    jobs_after_check: int
    console: list[str]
    job: dict[str, Any]


@pytest.fixture(scope="module")
def story(browser: Browser, service: RunningService, tmp_path_factory: pytest.TempPathFactory) -> Story:
    page, folder = signed_in(browser, service), tmp_path_factory.mktemp("files")
    go(page, "datasets", "Data sets")
    upload(page, folder / "broken.csv", b"a,b\n1,2\n3\n")
    wait_for(lambda: "Line 3" in page.text(".drop .box"), "the file's fault", 30)
    # rows of its own: a file of the same content is the data set that another test may have uploaded, with its name
    upload(page, folder / f"{MODEL}.csv", KNOWN_CSV.rpartition(b"\n")[0].rpartition(b"\n")[0] + b"\n")
    wait_for(lambda: page.text("main h1").startswith(MODEL), "the data set's page", 60)
    dataset = service.get("/v1/datasets")["datasets"][0]["id"]

    page.click("a.button")
    wait_for(lambda: page.text("main h1") == "New training", "the form", 15)
    chosen = page.run("return ['label', 'kind', 'estimator'].map((name) => document.getElementById(name).value)")
    page.click("button[value=check]")
    wait_for(lambda: "Parameters" in page.text("[data-key=checked]"), "what it would train", 15)
    jobs_after_check = len(jobs_of(service))
    page.click("form button.primary")
    wait_for(lambda: "job_" in page.text("main h1"), "the job's page", 15)
    wait_for(lambda: page.text("main .row .pill") == "SUCCEEDED", "the end of the training", 150)
    wait_for(lambda: service.get(f"/v1/models/{MODEL}")["labels"].get("latest") == 1, "the version that serves", 30)
    (job,) = jobs_of(service)
    return Story(dataset, chosen, jobs_after_check, page.console(), job)


@pytest.fixture
def page(browser: Browser, service: RunningService, story: Story) -> Browser:
    return signed_in(browser, service)


def jobs_of(service: RunningService) -> list[dict[str, Any]]:
    return list(service.get(f"/v1/jobs?type=train&model={MODEL}")["jobs"])


def upload(page: Browser, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    page.type("#file", str(path))
    page.click("form.drop button")


def test_file_with_a_fault_is_told_and_the_mended_one_is_trained_and_asked(page: Browser, story: Story) -> None:
    assert story.chosen == ["species", "Classifier", "DNN"]
    assert story.jobs_after_check == 0
    # the broken file's answer is told by Chromium
    assert [line for line in story.console if "422" not in line] == []
    go(page, f"model/{MODEL}", MODEL)
    go(page, f"ask/{MODEL}", f"Ask {MODEL}")
    page.click("form button.primary")
    wait_for(lambda: "classes" in page.text("[data-key=answer]"), "the answer", 15)
    before = page.text("[data-key=answer]")
    # a float32 of the file is written as it stands there
    shown = page.run("return [...document.querySelectorAll('form input')].map((input) => input.value)")
    assert max(map(len, shown)) <= 9, shown
    page.run("document.getElementById('feature flipper_length_mm').value = '260'")
    page.click("form button.primary")
    wait_for(lambda: page.text("[data-key=answer]") != before, "the answer to another value", 15)
    assert any(sign in page.text("[data-key=bars]") for sign in "+−")
    go(page, f"model/{MODEL}", MODEL)
    wait_for(lambda: page.text('tr[data-key="health 1"]').startswith("1\t2\tnone"), "the two requests", 15)
    assert page.console() == []


def test_training_again_begins_with_the_values_of_the_job(page: Browser, story: Story) -> None:
    go(page, f"job/{story.job['id']}", story.job["id"])
    wait_for(lambda: "with changes" in page.text("main"), "the link", 15)
    page.run("[...document.querySelectorAll('main a')].find((a) => a.innerText === 'with changes').click()")
    wait_for(lambda: page.text("main h1") == "New training", "the form", 15)
    fields = ["model", "label", "max_steps", "batch_size", "optimizer", "learning_rate"]
    assert page.run("return arguments[0].map((name) => document.getElementById(name).value)", fields) == [
        MODEL,
        "species",
        "1000",
        "64",
        "Adam",
        "0.003",
    ]


def test_report_shows_curves_and_what_another_threshold_would_do(
    page: Browser, service: RunningService, story: Story
) -> None:
    job = story.job
    (evaluation,) = [
        row for row in service.get(f"/v1/jobs/{job['id']}/evaluations")["evaluations"] if row["has_report"]
    ]
    go(page, f"job/{job['id']}", job["id"])
    wait_for(lambda: "Report" in page.text("main"), "the link to the report", 15)
    page.run("[...document.querySelectorAll('main td a')].find((a) => a.innerText === 'Report').click()")
    wait_for(lambda: page.text("main h1") == "Model report", "the report", 15)
    report = service.get(f"/v1/evaluations/{evaluation['id']}/report")["heads"][""]
    shown = page.text("main")
    assert "Confusion matrix" in shown
    assert all(name in shown for name in ("Adelie", "Chinstrap", "Gentoo", "Worst rows", "Importance of columns"))
    assert page.run("return document.querySelectorAll('main figure path.line').length") == 3 * len(report["curves"])
    first = f'[data-key="threshold {report["curves"][0]["class"]}"]'
    assert "Threshold 0.5" in page.text(first)
    page.run(
        "const slider = document.querySelector(arguments[0]);"
        "slider.value = 0; slider.dispatchEvent(new Event('input', {bubbles: true}))",
        f"{first} input",
    )
    everything = report["curves"][0]["thresholds"]["false_positives"][0]
    wait_for(lambda: f"False positives\n{everything:g}" in page.text(first), "the counts at threshold 0", 15)
    assert page.console() == []


AXE = Path(__file__).parents[2] / "app" / "web" / "node_modules" / "axe-core" / "axe.min.js"
_LOOK = """
window.violations = null;
axe.run(document, {resultTypes: ["violations"]}).then(({violations}) => {
  window.violations = violations.filter(({impact}) => ["serious", "critical"].includes(impact))
    .map(({id, nodes}) => `${id}: ${nodes[0].html.slice(0, 200)}`);
});
"""


@pytest.mark.skipif(not AXE.is_file(), reason="needs axe-core: scripts/web --axe")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_view(
    page: Browser, service: RunningService, story: Story, scheme: str
) -> None:
    page.emulate(width=1200, scheme=scheme)
    (evaluation, *_) = [
        row for row in service.get(f"/v1/jobs/{story.job['id']}/evaluations")["evaluations"] if row["has_report"]
    ]
    job = story.job["id"]
    views = {
        "jobs": "Jobs",
        f"job/{job}": job,
        f"compare?ids={job}": "Compare jobs",
        "models": "Models",
        f"model/{MODEL}": MODEL,
        "datasets": "Data sets",
        f"dataset/{story.dataset}?label=species": MODEL,
        f"train/{story.dataset}": "New training",
        f"report/{evaluation['id']}": "Model report",
        f"ask/{MODEL}": f"Ask {MODEL}",
        "workers": "Workers",
        "tokens": "Tokens",
        f"model/{MODEL}/": MODEL,
    }
    found = {}
    for route, title in views.items():
        go(page, route, title)
        page.run(AXE.read_text() + _LOOK)
        wait_for(lambda: page.run("return window.violations") is not None, "what axe finds", 30)
        found[route] = page.run("return window.violations")
    assert {route: violations for route, violations in found.items() if violations} == {}


def test_distributions_show_what_goes_with_a_label(page: Browser, story: Story) -> None:
    go(page, f"dataset/{story.dataset}", MODEL)
    assert "correlation ratio" not in page.text("[data-key=distributions]")
    page.run(
        "const label = document.querySelector('[data-query=label]'); label.value = 'species';"
        "label.dispatchEvent(new Event('change', {bubbles: true}))"
    )
    wait_for(lambda: "correlation ratio" in page.text("[data-key=distributions]"), "the strengths", 15)
    assert page.run("return location.hash").endswith("?label=species")
    assert page.run("return document.querySelectorAll('[data-key=distributions] figure svg path.bar').length") >= 4


def test_optimizer_follows_the_estimator_until_it_is_chosen(page: Browser, story: Story) -> None:
    go(page, f"train/{story.dataset}", "New training")
    fields = "return ['optimizer', 'learning_rate'].map((name) => document.getElementById(name)?.value)"

    def choose(field: str, value: str, then: list[str | None]) -> None:
        page.run(
            "const field = document.getElementById(arguments[0]); field.value = arguments[1];"
            "field.dispatchEvent(new Event('change', {bubbles: true}))",
            field, value,
        )  # fmt: skip
        wait_for(lambda: page.run(fields) == then, f"{field} {value}", 15)

    assert page.run(fields) == ["Adam", "0.003"]
    choose("estimator", "Linear", ["Ftrl", "0.2"])
    choose("estimator", "Baseline", ["", None])
    choose("estimator", "DNN", ["Adam", "0.003"])
    choose("optimizer", "SGD", ["SGD", "0.01"])
    choose("estimator", "Linear", ["SGD", "0.01"])
    page.click("button[value=check]")
    wait_for(lambda: "Parameters" in page.text("[data-key=checked]"), "what it would train", 15)
    assert '"type": "SGD",' in page.run("return document.querySelector('[data-key=request] pre').textContent")


def test_refused_request_is_told_with_its_places(page: Browser, story: Story) -> None:
    go(page, f"train/{story.dataset}", "New training")
    page.run("document.getElementById('hidden_units').value = '0'")
    page.click("button[value=check]")
    wait_for(lambda: "/estimator/args/hidden_units" in page.text("[data-key=problem]"), "the place of the fault", 15)


def test_token_is_made_shown_once_and_revoked(page: Browser, service: RunningService) -> None:
    go(page, "tokens", "Tokens")
    page.type("#name", "colleague" + ENTER)
    wait_for(lambda: "shown this once" in page.text("[data-key=secret]"), "the secret", 15)
    secret = page.text("[data-key=secret] code")
    made = next(row for row in service.get("/v1/tokens")["tokens"] if row["name"] == "colleague")
    assert made["scopes"] == ["read"]
    go(page, "jobs", "Jobs")
    go(page, "tokens", "Tokens")
    wait_for(lambda: "colleague" in page.text("main table"), "the list", 15)
    assert secret not in page.text("main")
    page.click(f'tr[data-key="{made["id"]}"] button')
    page.accept()
    wait_for(lambda: "revoked" in page.text(f'tr[data-key="{made["id"]}"]'), "the revocation", 15)


def test_views_fit_a_telephone(page: Browser, story: Story) -> None:
    page.emulate(width=360)
    for route, title in [
        (f"train/{story.dataset}", "New training"),
        (f"ask/{MODEL}", f"Ask {MODEL}"),
        ("tokens", "Tokens"),
        ("workers", "Workers"),
    ]:
        go(page, route, title)
        assert page.run("return document.documentElement.scrollWidth") <= 360, route
