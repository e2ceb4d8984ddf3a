#!/usr/bin/env python3
"""Makes every screenshot of README and docs, and the moving picture of them: Chromium opens the dashboard of a real
service with the penguins in it.

Called by `scripts/screenshots`; writes docs/pictures. Needs what `scripts/browser` installs.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from estimator_client import Client
from scripts import demo
from tests.e2e.browser import ENTER, MISSING, Browser
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
WIDTH, HEIGHT = 1200, 760
STORY = "story.webp"
STORY_SIZE = (840, 532)
STORY_BYTES = 400_000
"""The moving picture has no more: README is to open fast."""
_LONG_STEPS = 40_000


class Photographer:
    """A signed-in browser.

    Attributes:
        taken: files that were written.
        frames: name of a view to its pictures, as PNG.
    """

    def __init__(self, browser: Browser, service: demo.Service, folder: Path) -> None:
        self._browser, self._folder = browser, folder
        self.taken: list[Path] = []
        self.frames: dict[str, list[bytes]] = {}
        browser.emulate(width=WIDTH, height=HEIGHT)
        browser.open(f"{service.address}/")
        browser.type("#token", (service.data_dir / "admin-token").read_text().strip() + ENTER)
        self.until(lambda: browser.text("main h1") == "Jobs")

    def until(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        wait_for(condition, "the page", seconds)

    def take(
        self, name: str, route: str, shows: str, *, press: str = "", then: str = "", top: str = "", drawn: str = ""
    ) -> None:
        """Goes to a view, presses a button of it if one is named, and takes its picture once `then` is shown.

        Args:
            shows: text of the view when it is there.
            top: selector of what stands at the top of the picture.
            drawn: selector of what must be there too, besides texts.
        """
        page = self._browser
        page.run("location.hash = arguments[0]", route)
        self.until(lambda: shows in page.text("main"))
        if press:
            page.click(press)
        self.until(lambda: then in page.text("main"))
        self.until(lambda: page.run("return document.querySelector(arguments[0]) !== null", drawn or "body"))
        page.run("document.querySelector(arguments[0])?.scrollIntoView()", top or "body")
        path = self._folder / f"{name}.png"
        path.write_bytes(self.frame(name))
        self.taken.append(path)

    def frame(self, name: str) -> bytes:
        """The view as it is now, for the moving picture."""
        picture = self._browser.screenshot()
        self.frames.setdefault(name, []).append(picture)
        return picture


def take_all(service: demo.Service, browser: Browser, folder: Path) -> list[Path]:
    """Uploads, trains, and takes the pictures; their files."""
    known, _ = demo.penguins()
    with Client(service.address, (service.data_dir / "admin-token").read_text().strip()) as client:
        (folder / "penguins.csv").write_bytes(demo.as_csv(known))
        dataset = client.upload(str(folder / "penguins.csv"))
        (folder / "penguins.csv").unlink()
        options: dict[str, Any] = {"export": "final"}
        body = demo.train_body(dataset, **options)
        body["train"] |= {"evaluate_every_steps": 500}
        job = client.submit(body)
        job.wait(check=True)
        (evaluation,) = [one for one in job.evaluations() if one["has_report"]][-1:]
        camera = Photographer(browser, service, folder)
        camera.take("dataset", f"dataset/{dataset['id']}", "bill_length_mm")
        check = "button[value=check]"
        camera.take("training", f"train/{dataset['id']}", "Rows held out", press=check, then="Parameters", top="form")
        camera.take("report", f"report/{evaluation['id']}", "Confusion matrix")
        camera.take("ask", "ask/penguins", "Ask penguins", press="form button.primary", then="Answer", top="form")

        train = body["train"] | {"max_steps": _LONG_STEPS}
        long = client.submit(demo.train_body(dataset, model="long") | {"train": train})

        def reached(step: int) -> Callable[[], bool]:
            return lambda: (client.job(long["id"])["progress"] or {}).get("step", 0) > step

        camera.until(reached(2_000), 300)
        camera.take("job", f"job/{long['id']}", f"/ {_LONG_STEPS:,}", drawn=".uplot canvas")
        for step in (8_000, 14_000, 20_000):
            camera.until(reached(step), 300)
            camera.take("job", f"job/{long['id']}", f"/ {_LONG_STEPS:,}", drawn=".uplot canvas")
        client.cancel(long["id"])
    story = [(frame, 2500) for name in ("dataset", "training") for frame in camera.frames[name]]
    story += [(frame, 900) for frame in camera.frames["job"]]
    story += [(frame, 3000) for name in ("report", "ask") for frame in camera.frames[name]]
    return [*dict.fromkeys(camera.taken), animate(story, folder / STORY)]


def animate(story: Sequence[tuple[bytes, int]], path: Path) -> Path:
    """Writes pictures (PNG, and how many milliseconds each is shown) as a moving one that begins again at its end.

    Raises:
        ValueError: it would have more than `STORY_BYTES`.
    """
    from PIL import Image

    shown = [Image.open(io.BytesIO(picture)).convert("RGB").resize(STORY_SIZE) for picture, _ in story]
    made = io.BytesIO()
    shown[0].save(
        made, "WEBP", save_all=True, append_images=shown[1:], duration=[each for _, each in story], loop=0, quality=70
    )
    if len(made.getvalue()) > STORY_BYTES:
        raise ValueError(f"{path.name} would have {len(made.getvalue()):,} bytes, more than {STORY_BYTES:,}.")
    path.write_bytes(made.getvalue())
    return path


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/screenshots", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=PICTURES, help="default: docs/pictures")
    folder = parser.parse_args().folder
    if MISSING:
        print(f"{MISSING}: run scripts/browser", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        service = demo.Service(Path(directory) / "data", demo.free_port())
        try:
            service.wait_until("/readyz", 60)
            with Browser(Path(directory) / "profile") as browser:
                for path in take_all(service, browser, folder):
                    print(f"{path} ({path.stat().st_size / 1000:.0f} kB)")
        finally:
            service.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
