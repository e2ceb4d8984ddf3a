"""The dashboard in a real browser. Skipped where there is none."""

from __future__ import annotations

import pytest

from tests.e2e.browser import ENTER, MISSING, TAB, Browser
from tests.e2e.conftest import RunningService
from tests.e2e.penguins import KNOWN_CSV, train_job
from tests.e2e.person import go, opened, sign_in
from tests.waiting import wait_for

pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def service(embedded: RunningService) -> RunningService:
    return embedded


@pytest.fixture(scope="module")
def dataset(service: RunningService) -> str:
    # a row of its own: a file of the same content is the data set that another test may have uploaded, with its name
    return service.dataset(MARKUP, KNOWN_CSV + b"Gentoo,Biscoe,47.5,14.2,999,4900,female,2009\n")


@pytest.fixture
def page(browser: Browser, service: RunningService) -> Browser:
    """The dashboard before anybody has signed in."""
    return opened(browser, service)


def test_empty_list_says_how_to_begin(page: Browser, service: RunningService) -> None:
    # other tests have submitted jobs to this service
    page.run("""
        const real = window.fetch;
        const none = () => Promise.resolve(new Response('{"jobs": [], "total": 0, "next_page_token": null}'));
        window.fetch = (path, options) => (path.startsWith("/v1/jobs?") ? none() : real(path, options));
    """)
    sign_in(page, service)
    assert "No jobs yet" in page.text("main .empty")


def test_view_is_read_again_as_often_as_it_says_and_no_more(page: Browser, service: RunningService) -> None:
    sign_in(page, service)
    page.run("""
        const real = window.setTimeout;
        window.pauses = [];
        window.setTimeout = (work, pause, ...more) => {
          window.pauses.push(typeof pause === "number" ? pause : String(pause));
          return real(work, pause, ...more);
        };
    """)
    page.run("location.hash = 'models'")
    wait_for(lambda: 5000 in page.run("return window.pauses"), "the time of the next reading")
    page.run("location.hash = 'tokens'")
    wait_for(lambda: page.text("main h1") == "Tokens", "the tokens")
    # 300: until it says that it is loading; what was timed for the list of jobs before is its 2000
    assert set(page.run("return window.pauses")) <= {300, 2000, 5000}


def test_job_is_seen_live_from_the_list_to_its_end(page: Browser, service: RunningService, dataset: str) -> None:
    sign_in(page, service)
    page.run("window.neverReloaded = true")

    job = service.submit(train_job(dataset, "watched", 20_000))
    wait_for(lambda: page.text(f'tr[data-key="{job}"]'), "the job in the list")
    page.click(f'tr[data-key="{job}"] td:nth-child(3) a')
    wait_for(lambda: job in page.text("main h1"), "the job's own view")
    seen: set[str] = set()

    def ended() -> bool:
        seen.add(page.text("main .row"))
        return page.text("main .row .pill") not in {"QUEUED", "RUNNING"}

    wait_for(ended, "the end of the job")
    assert page.text("main .row .pill") == "SUCCEEDED", service.job(job)
    assert len([text for text in seen if text.startswith("RUNNING") and "/ 20,000 steps" in text]) >= 2, seen
    wait_for(lambda: page.text("figure[data-key='chart loss']").startswith("loss"), "the curve of the loss")
    wait_for(
        lambda: page.run("return document.querySelectorAll('[data-plot=loss] canvas').length") == 1, "its drawing", 15
    )
    assert "at step 20,000" in page.text("[data-readout=loss]")
    page.run("document.querySelector('[data-plot=loss]').focus()")
    assert drawn_steps(page) == [1, 20_000]
    page.press("+")
    low, high = drawn_steps(page)
    assert 1 < low < high < 20_000
    page.press("0")
    assert drawn_steps(page) == [1, 20_000]
    assert "20,000 steps" in page.text("main .row")
    assert "Saved checkpoint" in page.text('[data-key="log"]')
    assert page.run("return window.neverReloaded")
    assert page.console() == []


def drawn_steps(page: Browser) -> list[float]:
    """The first and the last step that the chart of the loss shows now."""
    return list(page.run("return document.querySelector('[data-plot=loss]').shownSteps"))


def test_jobs_are_found_chosen_and_compared(page: Browser, service: RunningService, dataset: str) -> None:
    made = [
        service.submit(train_job(dataset, "chosen", 20 + number, display_name=f"choice {number}")) for number in (1, 2)
    ]
    for job in made:
        service.succeeded(job)
    sign_in(page, service)
    page.type("#search", "choice")
    wait_for(lambda: "2 jobs" in page.text("main [role=status]"), "what the search leaves")
    for job in made:
        page.click(f'[data-pick="{job}"]')
    wait_for(lambda: "2 chosen" in page.text("[data-key=chosen]"), "the choice")
    page.click("[data-key=chosen] a")
    wait_for(lambda: page.text("main h1") == "Compare jobs", "the comparison")
    wait_for(lambda: page.run("return document.querySelectorAll('[data-plot=loss] canvas').length") == 1, "curves")
    assert "choice 1" in page.text("[data-readout=loss]")
    assert "choice 2" in page.text("[data-readout=loss]")
    cells = page.run(
        "return [...document.querySelectorAll('tr[data-key=\"/train/max_steps\"] td')].map((td) => td.innerText)"
    )
    assert cells[0] == "/train/max_steps"
    assert sorted(cells[1:]) == ["21", "22"]
    assert page.console() == []


def test_token_that_may_only_look_sees_no_button_that_writes(
    page: Browser, service: RunningService, dataset: str
) -> None:
    job = service.submit(train_job(dataset, "looked", 20))
    service.succeeded(job)
    made = service.http.post("/v1/tokens", json={"name": "looker", "scopes": ["read"]}).json()
    page.type("#token", made["token"] + ENTER)
    wait_for(lambda: page.text("main h1") == "Jobs", "the list of jobs")
    for route, title in [
        ("model/looked", "looked"),
        (f"dataset/{dataset}", MARKUP),
        (f"job/{job}", job),
        ("datasets", "Data sets"),
    ]:
        go(page, route, title)
        seen = "[...document.querySelectorAll('main button')].filter((button) => button.offsetParent)"
        buttons = page.run(f"return {seen}.map((button) => button.innerText)")
        assert set(buttons) <= {"Logarithmic"}, route
    assert "This token may only look" in page.text("main")
    assert page.run("return document.querySelector('nav [data-needs=admin]').hidden")
    go(page, "tokens", "Not permitted")
    assert page.run("return sessionStorage.length") == 1


@pytest.fixture(scope="module")
def rolled(service: RunningService, dataset: str) -> str:
    """A model with two versions that are loaded."""
    for _ in range(2):
        service.succeeded(service.submit(train_job(dataset, "rolled", 20)))

    def states() -> list[str]:
        return [one["state"] for one in service.get("/v1/models/rolled")["model_version_status"]]

    wait_for(lambda: states() == ["AVAILABLE"] * 2, "both versions")
    return "rolled"


def point(service: RunningService, model: str, version: int) -> None:
    service.http.put(f"/v1/models/{model}/labels/latest", json={"version": version}).raise_for_status()


def test_rollback_after_a_question(page: Browser, service: RunningService, rolled: str) -> None:
    point(service, rolled, 2)
    sign_in(page, service)
    go(page, "model/rolled", "rolled")
    older = 'tr[data-key="1"]'
    wait_for(lambda: "latest" in page.text('tr[data-key="2"]') and "AVAILABLE" in page.text(older), "version 2")

    page.click(f"{older} [data-action=promote]")
    page.accept()

    wait_for(lambda: "latest" in page.text(f"{older} td:nth-child(3)"), "the label on version 1")
    assert service.get("/v1/models/rolled")["labels"] == {"latest": 1}
    assert page.console() == []


def test_release_is_watched_paused_and_aborted(page: Browser, service: RunningService, rolled: str) -> None:
    point(service, rolled, 1)
    steps = [{"per_mille": 50, "seconds": 600}, {"shadow": True, "seconds": 600}]
    made = service.http.post(f"/v1/models/{rolled}/releases", json={"version": 2, "steps": steps}).json()["id"]
    sign_in(page, service)
    go(page, f"model/{rolled}", rolled)
    wait_for(lambda: "1 of 2: 5 %" in page.text(f'tr[data-key="{made}"]'), "the release in the list")

    page.click(f'tr[data-key="{made}"] a')
    wait_for(lambda: page.text("main h1") == "Release of rolled version 2", "its page")
    assert "1 (live)\t0\t0" in page.text('tr[data-key="arm live"]')
    assert page.text('tr[data-key="step 0"]').endswith("now")
    for button, state in [("pause", "PAUSED"), ("resume", "RUNNING")]:
        page.click(f"[data-action={button}Release]")
        wait_for(lambda state=state: page.text("[data-key=state] .pill") == state, state)
    page.click("[data-action=abortRelease]")
    page.accept()
    wait_for(lambda: "Aborted by request." in page.text("[aria-label=Events]"), "the end in the events")
    assert service.get(f"/v1/models/{rolled}/releases/{made}")["state"] == "ABORTED"
    assert not page.text("[data-action=pauseRelease]")
    assert page.console() == []


def test_cancel_with_the_keyboard_alone(page: Browser, service: RunningService, dataset: str) -> None:
    job = service.submit(train_job(dataset, "keys", 1_000_000))
    sign_in(page, service)
    focused = "const {tagName, innerText} = document.activeElement; return [tagName, innerText]"

    def tab_to(words: str) -> None:
        for _ in range(20):
            page.press(TAB)
            tag, text = page.run(focused)
            if tag in {"A", "BUTTON"} and words in text:
                return
        raise AssertionError(f"{words!r} is not reached with the Tab key")

    tab_to(job[-6:])
    page.press(ENTER)
    wait_for(lambda: page.text("main .row .pill") == "RUNNING", "the running job")
    tab_to("Cancel")
    page.press(ENTER)

    wait_for(lambda: page.text("main .row .pill") == "CANCELLED", "the end of the job")
    assert service.job(job)["state"] == "CANCELLED"


def test_wrong_token_is_told_and_forgotten(page: Browser, service: RunningService) -> None:
    page.type("#token", "wrong" + ENTER)

    wait_for(lambda: "not known" in page.text("#trouble"), "the message")
    assert page.run("return sessionStorage.length") == 0
    assert page.run("return document.activeElement.id") == "token"
    sign_in(page, service)
    assert page.text("#trouble") == ""
    page.click("#leave")
    assert page.run("return [sessionStorage.length, document.querySelector('#view').hidden]") == [0, True]


def test_names_stay_text(page: Browser, service: RunningService, dataset: str) -> None:
    sign_in(page, service)
    for route, title in [
        ("jobs?state=FAILED", "Jobs"),
        ("model/nobody-made-it", "nobody-made-it"),
        ("datasets", "Data sets"),
        (f"dataset/{dataset}", MARKUP),
    ]:
        go(page, route, title)
        assert page.run("return document.querySelectorAll('main img').length") == 0, route
    assert "bill_length_mm" in page.text("main table")


_CONTRASTS = """
const style = getComputedStyle(document.documentElement);
const canvas = document.createElement("canvas").getContext("2d");
const light = (name) => {
  canvas.fillStyle = style.getPropertyValue(name);
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const found = {};
for (const text of arguments[0]) for (const back of ["--back", "--card"]) {
  const [low, high] = [light(text), light(back)].sort((a, b) => a - b);
  found[`${text} on ${back}`] = (high + 0.05) / (low + 0.05);
}
return found;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(page: Browser, scheme: str) -> None:
    """At least 4.5 : 1, as WCAG 2.2 asks of text (https://www.w3.org/TR/WCAG22/#contrast-minimum)."""
    page.emulate(width=1200, scheme=scheme)
    names = ["text", "quiet", "link", "good", "bad", "busy", "wait", *(f"series-{i}" for i in range(6))]
    colours = [f"--{name}" for name in names]

    found = page.run(_CONTRASTS, colours)

    assert len(found) == 2 * len(colours)
    assert not {pair: ratio for pair, ratio in found.items() if ratio < 4.5}


@pytest.mark.parametrize(("path", "root"), [("/docs", "#swagger-ui"), ("/redoc", "redoc, .redoc-wrap")])
def test_documentation_page_lists_the_operations(page: Browser, service: RunningService, path: str, root: str) -> None:
    page.open(f"{service.address}{path}")

    wait_for(lambda: "Submit a job" in page.text(root), "the operations")
    assert page.console() == []
    names = page.run("return performance.getEntriesByType('resource').map(({name}) => name)")
    assert [name for name in names if not name.startswith((service.address, "data:", "blob:"))] == []
