"""The whole story of the dashboard, step by step, as a person goes through it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zlib import crc32

from tests.e2e.browser import ENTER
from tests.e2e.conftest import RunningService
from tests.e2e.penguins import KNOWN_CSV
from tests.e2e.person import Mouse, opened, token
from tests.waiting import wait_for


def jobs_of(service: RunningService, model: str) -> list[dict[str, Any]]:
    """The trainings of a model, newest first."""
    return list(service.get(f"/v1/jobs?type=train&model={model}")["jobs"])


def live(person: Mouse, service: RunningService, folder: Path) -> None:
    """The whole story: a file with a fault, the mended one, two trainings, their comparison and report, promotion,
    questions, and the way back."""
    page, name = person.page, f"story-{person.name}"
    opened(page, service)
    person.begin()
    person.write("#token", token(service) + ENTER)
    person.look("Jobs")
    upload_mended(person, folder, name)
    person.press("a.button", "New training")
    train_first(person, service, name)
    job = train_again(person, service, name)
    compare_both(person, name)
    read_report(person)
    promote(person, service, name)
    ask(person, name)
    roll_back(person, service, name)
    person.press("#leave")
    wait_for(lambda: page.run("return document.activeElement.id") == "token", "the sign-in")
    assert page.run("return [sessionStorage.length, document.querySelector('#view').hidden]") == [0, True]
    # the broken file's answer is told by Chromium
    assert [line for line in page.console() if "422" not in line] == []
    names = page.run("return performance.getEntriesByType('resource').map(({name}) => name)")
    assert [one for one in names if not one.startswith((service.address, "data:", "blob:"))] == []
    assert service.job(job)["state"] == "SUCCEEDED"


def upload_mended(person: Mouse, folder: Path, name: str) -> None:
    page = person.page
    person.press("nav a", "Data sets")
    person.look("Data sets")
    # a row of its own: a file of the same content is the data set that another test may have uploaded, with its name
    rows = [*KNOWN_CSV.splitlines(), b"Gentoo,Biscoe,47.5,14.2,%d,4900,female,2009" % (1000 + crc32(name.encode()))]
    path = folder / f"{name}.csv"
    for lines, then in [
        ([*rows[:3], rows[3].rpartition(b",")[0], *rows[4:]], lambda: "Line 4" in page.text(".drop .box")),
        (rows, lambda: page.text("main h1").startswith(name)),
    ]:
        path.write_bytes(b"\n".join(lines) + b"\n")
        person.give("#file", path)
        person.press("form.drop button", "Upload")
        wait_for(then, "what the file is")
    person.look(name)


def train_first(person: Mouse, service: RunningService, name: str) -> None:
    page = person.page
    person.look("New training")
    fields = "return ['model', 'label', 'kind', 'estimator'].map((name) => document.getElementById(name).value)"
    assert page.run(fields) == [name, "species", "Classifier", "DNN"]
    person.write("#max_steps", "60")
    person.write("#evaluate_every_steps", "30")
    person.press("button[value=check]")
    wait_for(lambda: "Parameters" in page.text("[data-key=checked]"), "what it would train")
    assert jobs_of(service, name) == []
    person.press("button[value=train]")
    watch(person)
    wait_for(lambda: service.get(f"/v1/models/{name}")["labels"].get("latest") == 1, "the version that serves")


def watch(person: Mouse) -> None:
    page = person.page
    person.look("job_")
    wait_for(lambda: page.text("main .row .pill") == "SUCCEEDED", "the end of the training", 150)
    drawn = "return document.querySelectorAll('[data-plot=loss] canvas').length"
    wait_for(lambda: page.run(drawn) == 1, "the curve of the loss")
    person.look("job_")


def train_again(person: Mouse, service: RunningService, name: str) -> str:
    page = person.page
    person.press("dd a", "with changes")
    person.look("New training")
    assert page.run("return document.getElementById('max_steps').value") == "60"
    person.write("#max_steps", "90")
    person.choose("#serve", "when I make it the latest")
    person.press("button[value=train]")
    wait_for(lambda: len(jobs_of(service, name)) == 2, "the second job")
    job = jobs_of(service, name)[0]
    wait_for(lambda: job["id"] in page.text("main h1"), "its page")
    watch(person)
    assert service.get(f"/v1/models/{name}")["labels"] == {"latest": 1}
    return str(job["id"])


def compare_both(person: Mouse, name: str) -> None:
    page = person.page
    person.press("nav a", "Jobs")
    person.look("Jobs")
    person.write("#search", name)
    wait_for(lambda: page.text("main [role=status]") == "2 jobs", "what the search leaves")
    for place in (1, 2):
        person.tick(f"tbody tr:nth-child({place}) [data-pick]")
        wait_for(lambda place=place: f"{place} chosen" in page.text("[data-key=chosen]"), "the choice")
    person.look("Jobs")
    person.press("[data-key=chosen] a", "Compare")
    person.look("Compare jobs")
    row = "return [...document.querySelectorAll('tr[data-key=\"/train/max_steps\"] td')].map((td) => td.innerText)"
    wait_for(lambda: sorted(page.run(row)) == ["/train/max_steps", "60", "90"], "the difference")


def read_report(person: Mouse) -> None:
    page = person.page
    person.press("tbody td a")
    person.look("job_")
    person.press("td a", "Report")
    person.look("Model report")
    slider = "[data-key^='threshold']"
    assert "Threshold 0.5" in page.text(slider)
    person.least(f"{slider} input")
    wait_for(lambda: "Threshold 0\n" in page.text(slider), "another threshold")


def promote(person: Mouse, service: RunningService, name: str) -> None:
    page = person.page
    person.press("nav a", "Models")
    person.look("Models")
    person.press("td a", name)
    person.look(name)
    newer = 'tr[data-key="2"]'
    person.press(f"{newer} button", "Load")
    wait_for(lambda: "AVAILABLE" in page.text(newer), "version 2")
    person.press(f"{newer} button", "Make latest")
    page.accept()
    wait_for(lambda: "latest" in page.text(f"{newer} td:nth-child(3)"), "the label on version 2")
    assert service.get(f"/v1/models/{name}")["labels"] == {"latest": 2}


def ask(person: Mouse, name: str) -> None:
    page = person.page
    person.press("dd a", "with a form, curl or Python")
    person.look(f"Ask {name}")
    # a float32 of the file is written as it stands there
    shown = page.run("return [...document.querySelectorAll('form input')].map((input) => input.value)")
    assert max(map(len, shown)) <= 9, shown
    person.press("form button", "Ask")
    wait_for(lambda: "classes" in page.text("[data-key=answer]"), "the answer")
    before = page.text("[data-key=answer]")
    person.write("[id='feature flipper_length_mm']", "260")
    person.press("form button", "Ask")
    wait_for(lambda: page.text("[data-key=answer]") != before, "the answer to another value")
    assert any(sign in page.text("[data-key=bars]") for sign in "+−")
    person.look(f"Ask {name}")


def roll_back(person: Mouse, service: RunningService, name: str) -> None:
    page = person.page
    person.press("a.back")
    person.look(name)
    wait_for(lambda: page.text('tr[data-key="health 2"]').startswith("2\t2\tnone"), "the two requests")
    person.press('tr[data-key="1"] button', "Roll back")
    page.accept()
    wait_for(lambda: "latest" in page.text('tr[data-key="1"] td:nth-child(3)'), "the label on version 1")
    assert service.get(f"/v1/models/{name}")["labels"] == {"latest": 1}
