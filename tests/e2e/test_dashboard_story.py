"""The whole story in a real browser: a file with a fault, the mended one, a training, and questions to its model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from estimator_client.cli import defaults
from tests.e2e.browser import ENTER, MISSING, Browser
from tests.e2e.conftest import RunningService
from tests.e2e.penguins import train_job
from tests.e2e.person import PHONE_WIDTH, Finger, Keyboard, Mouse, fits, go, opened, sign_in
from tests.e2e.story import jobs_of, live
from tests.waiting import wait_for

pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


MODEL = f"story-{Mouse.name}"


@pytest.fixture(scope="module")
def service(embedded: RunningService) -> RunningService:
    return embedded


@dataclass(frozen=True)
class Story:
    """What the mouse's story left: its data set and its first training."""

    dataset: str
    job: dict[str, Any]


@pytest.fixture(scope="module")
def story(browser: Browser, service: RunningService, tmp_path_factory: pytest.TempPathFactory) -> Story:
    live(Mouse(browser), service, tmp_path_factory.mktemp("files"))
    _, listed = jobs_of(service, MODEL)
    first = service.job(listed["id"])
    return Story(first["spec"]["data"]["train"]["dataset"], first)


@pytest.fixture
def page(browser: Browser, service: RunningService, story: Story) -> Browser:
    opened(browser, service)
    sign_in(browser, service)
    return browser


def test_whole_story_by_mouse(story: Story) -> None:
    assert story.job["state"] == "SUCCEEDED"


@pytest.mark.parametrize("kind", [Keyboard, Finger], ids=lambda kind: str(kind.name))
def test_whole_story(browser: Browser, service: RunningService, tmp_path: Path, kind: type[Mouse]) -> None:
    live(kind(browser), service, tmp_path)


def test_training_again_begins_with_the_values_of_the_job(page: Browser, story: Story) -> None:
    go(page, f"job/{story.job['id']}", story.job["id"])
    wait_for(lambda: "with changes" in page.text("main"), "the link")
    page.run("[...document.querySelectorAll('main a')].find((a) => a.innerText === 'with changes').click()")
    wait_for(lambda: page.text("main h1") == "New training", "the form")
    fields = ["model", "label", "max_steps", "batch_size", "optimizer", "learning_rate"]
    assert page.run("return arguments[0].map((name) => document.getElementById(name).value)", fields) == [
        MODEL,
        "species",
        "60",
        "64",
        "Adam",
        "0.003",
    ]


def test_training_again_keeps_what_the_form_has_no_field_for(
    page: Browser, service: RunningService, story: Story
) -> None:
    body = train_job(story.dataset, "again", 40, export="best", promote={"when": {"metric": "accuracy", "at_least": 2}})
    body["estimator"]["args"] |= {"dropout": 0.25, "activation_fn": "tanh", "loss_reduction": "sum"}
    body["data"]["train"] |= {"shuffle": False, "missing": {"sex": "drop"}}
    body["train"] |= {"evaluate_every_steps": 20, "early_stopping": {"metric": "loss", "patience_steps": 1000}}
    job = service.submit(body)
    service.http.post(f"/v1/jobs/{job}/cancel").raise_for_status()
    go(page, f"train/{story.dataset}?from={job}", "New training")
    shown = page.run("return document.querySelector('[data-key=request] pre').textContent")
    again = json.loads(shown.partition("-d '")[2].removesuffix("'"))
    service.http.post("/v1/jobs?dry_run=true", json=again).raise_for_status()
    assert again["estimator"] == body["estimator"]
    assert again["data"]["train"] | body["data"]["train"] == again["data"]["train"]
    assert (again["train"]["early_stopping"]["patience_steps"], again["train"]["seed"]) == (1000, 1)
    assert (again["export"], again["promote"]["when"]["at_least"]) == ("best", 2)


def test_report_shows_curves_and_what_another_threshold_would_do(
    page: Browser, service: RunningService, story: Story
) -> None:
    job = story.job
    (evaluation,) = [
        row for row in service.get(f"/v1/jobs/{job['id']}/evaluations")["evaluations"] if row["has_report"]
    ]
    go(page, f"job/{job['id']}", job["id"])
    wait_for(lambda: "Report" in page.text("main"), "the link to the report")
    page.run("[...document.querySelectorAll('main td a')].find((a) => a.innerText === 'Report').click()")
    wait_for(lambda: page.text("main h1") == "Model report", "the report")
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
    wait_for(lambda: f"False positives\n{everything:g}" in page.text(first), "the counts at threshold 0")
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
    page: Browser, service: RunningService, story: Story, release: str, scheme: str
) -> None:
    # finger-sized targets, and columns that a telephone leaves out: each width once
    phone = scheme == "dark"
    page.emulate(width=PHONE_WIDTH if phone else 1200, scheme=scheme, phone=phone)
    second, first = (job["id"] for job in jobs_of(service, MODEL))
    evaluations = service.get(f"/v1/jobs/{first}/evaluations")["evaluations"]
    (evaluation, *_) = [row for row in evaluations if row["has_report"]]
    views = {
        "jobs": "Jobs",
        "jobs?text=nothing-is-called-this": "Jobs",
        f"job/{first}": first,
        f"compare?ids={first}&ids={second}": "Compare jobs",
        "compare": "Compare jobs",
        "models": "Models",
        f"model/{MODEL}": MODEL,
        f"release/{release}?model={MODEL}": f"Release of {MODEL}",
        f"releases/{MODEL}": f"Releases of {MODEL}",
        "datasets": "Data sets",
        f"dataset/{story.dataset}?label=species": MODEL,
        f"train/{story.dataset}": "New training",
        f"train/{story.dataset}?from={first}": "New training",
        f"report/{evaluation['id']}": "Model report",
        f"ask/{MODEL}": f"Ask {MODEL}",
        "workers": "Workers",
        "tokens": "Tokens",
        "job/nothing": "Not found",
    }
    found = {}
    for route, title in views.items():
        go(page, route, title)
        found[route] = violations(page)
        if phone and not fits(page, PHONE_WIDTH):
            found[route].append("the page has to be scrolled sideways")
    page.click("#leave")
    found["sign-in"] = violations(page)
    assert {route: faults for route, faults in found.items() if faults} == {}


def violations(page: Browser) -> list[str]:
    """What axe has against the page as it is, if it is serious."""
    if not page.run("return 'axe' in window"):
        page.run(AXE.read_text())
    page.run(_LOOK)
    wait_for(lambda: page.run("return window.violations") is not None, "what axe finds")
    return list(page.run("return window.violations"))


@pytest.fixture(scope="module")
def release(service: RunningService, story: Story) -> Iterator[str]:
    """A release of the story's second version that waits in its first step."""
    steps = [{"per_mille": 50, "seconds": 600}]
    answer = service.http.post(f"/v1/models/{MODEL}/releases", json={"version": 2, "steps": steps})
    assert answer.status_code == 201, answer.text
    yield answer.json()["id"]
    service.http.post(f"/v1/models/{MODEL}/releases/{answer.json()['id']}/abort").raise_for_status()


def test_distributions_show_what_goes_with_a_label(page: Browser, story: Story) -> None:
    go(page, f"dataset/{story.dataset}", MODEL)
    assert "correlation ratio" not in page.text("[data-key=distributions]")
    page.run(
        "const label = document.querySelector('[data-query=label]'); label.value = 'species';"
        "label.dispatchEvent(new Event('change', {bubbles: true}))"
    )
    wait_for(lambda: "correlation ratio" in page.text("[data-key=distributions]"), "the strengths")
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
        wait_for(lambda: page.run(fields) == then, f"{field} {value}")

    assert page.run(fields) == ["Adam", "0.003"]
    choose("estimator", "Linear", ["Ftrl", "0.2"])
    choose("estimator", "Baseline", ["", None])
    choose("estimator", "DNN", ["Adam", "0.003"])
    choose("optimizer", "SGD", ["SGD", "0.01"])
    choose("estimator", "Linear", ["SGD", "0.01"])
    page.click("button[value=check]")
    wait_for(lambda: "Parameters" in page.text("[data-key=checked]"), "what it would train")
    assert '"type": "SGD",' in page.run("return document.querySelector('[data-key=request] pre').textContent")


def test_refused_request_is_told_with_its_places(page: Browser, story: Story) -> None:
    go(page, f"train/{story.dataset}", "New training")
    page.run("document.getElementById('hidden_units').value = '0'")
    page.click("button[value=check]")
    wait_for(lambda: "/estimator/args/hidden_units" in page.text("[data-key=problem]"), "the place of the fault")


def test_token_is_made_shown_once_and_revoked(page: Browser, service: RunningService) -> None:
    go(page, "tokens", "Tokens")
    page.type("#name", "colleague" + ENTER)
    wait_for(lambda: "shown this once" in page.text("[data-key=secret]"), "the secret")
    secret = page.text("[data-key=secret] code")
    made = next(row for row in service.get("/v1/tokens")["tokens"] if row["name"] == "colleague")
    assert made["scopes"] == ["read"]
    go(page, "jobs", "Jobs")
    go(page, "tokens", "Tokens")
    wait_for(lambda: "colleague" in page.text("main table"), "the list")
    assert secret not in page.text("main")
    page.click(f'tr[data-key="{made["id"]}"] button')
    page.accept()
    wait_for(lambda: "revoked" in page.text(f'tr[data-key="{made["id"]}"]'), "the revocation")


def test_command_line_begins_with_the_same_values_as_the_form(page: Browser) -> None:
    text = {"dtype": "string", "sequence": False, "distinct": 3, "min": None, "max": None}
    price = {"dtype": "float32", "sequence": False, "distinct": None, "min": -3.5, "max": 12_500.0}
    level = {"dtype": "int64", "sequence": False, "distinct": 4, "min": 1, "max": 4}
    data = [
        [{"name": "colour", **text}, {"name": "price", **price}],
        [{"name": "price", **price}, {"name": "colour", **text}],
        [{"name": "price", **price}, {"name": "Target", **level}, {"name": "size", **price}],
        [{"name": "price", **price}, {"name": "words", **text, "sequence": True}],
    ]
    far = level | {"max": 700}
    labels = [text, price, level, far, price | {"min": None, "max": None}]
    families = ["DNN", "Linear", "DNNLinearCombined"]
    sizes = [[10, 64], [4000, 64], [61_000, 64], [10_000_000, 32]]
    script = """return (async () => {
      const [data, labels, families, sizes] = arguments;
      const {proposed, stepsFor} = await import("/static/optimizer.js");
      const {isClass, likelyLabel} = await import("/static/train.js");
      const kinds = ["Classifier", "Regressor"];
      const rate = (found) => [found.optimizer, Number(found.learning_rate)];
      return {
        labels: data.map((columns) => likelyLabel(columns).name), classes: labels.map(isClass),
        steps: sizes.map(([rows, batch]) => stepsFor(rows, batch)),
        optimizers: labels.flatMap((label) => families.flatMap((estimator) =>
          kinds.map((kind) => rate(proposed({estimator, kind}, label))))),
      };
    })()"""
    optimizers = [
        next(iter(defaults.optimizer_for(family + kind, label).values()))
        for label in labels
        for family in families
        for kind in ("Classifier", "Regressor")
    ]
    assert page.run(script, data, labels, families, sizes) == {
        "labels": [defaults.likely_label(columns) for columns in data],
        "classes": [defaults.is_class(label) for label in labels],
        "steps": [defaults.steps_for(*size) for size in sizes],
        "optimizers": [[one["type"], one["learning_rate"]] for one in optimizers],
    }
