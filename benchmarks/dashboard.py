"""How smooth the dashboard is: frame times in Chromium of a list of many jobs and of a chart of many points.

    scripts/bench dashboard [--jobs 10000] [--points 100000] [--seconds 8] [--json FILE]

A frame is the time between two calls of `requestAnimationFrame`, 16.7 ms at best; long ones are those above 50 ms. The
first row is the sign-in page, where nothing happens: what the machine itself does. Exits 1 where the share of long
frames is more than a hundredth above that.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, update

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from app.config import Settings
from app.registry.db import Database, make_engine, migrate
from app.registry.tables import Job, MetricPoint
from benchmarks.load_systems.api import Api
from benchmarks.load_systems.curve import fill
from tests.e2e.browser import ENTER, MISSING, Browser
from tests.waiting import wait_for

LONG_MS = 50
ALLOWED = 0.01
_FRAMES = """
const [seconds, act] = arguments;
const step = new Function("frame", act);
return new Promise((resolve) => {
  const frames = [], end = performance.now() + 1000 * seconds;
  let last = performance.now(), count = 0;
  requestAnimationFrame(function next(now) {
    frames.push(now - last);
    last = now;
    step(count++);
    if (now < end) requestAnimationFrame(next); else resolve(frames.slice(1));
  });
});
"""
_PLACE = "const place = document.querySelector('[data-plot=loss]');"
_KEY = _PLACE + "place.dispatchEvent(new KeyboardEvent('keydown', {key: ARRAY[frame % ARRAY.length]}));"
_POINT = """
const over = document.querySelector('[data-plot=loss] .u-over'), box = over.getBoundingClientRect();
const at = {bubbles: true, clientX: box.left + (7 * frame) % box.width, clientY: box.top + 50};
over.dispatchEvent(new MouseEvent('mousemove', at));
"""
_SEARCH = """
const field = document.getElementById('search');
if (frame % 40 === 0) {
  field.value = 'm' + (frame / 40) % 10;
  field.dispatchEvent(new InputEvent('input', {bubbles: true}));
}
"""


def prepare(data_dir: Path, jobs: int, points: int) -> str:
    """A registry with that history; the id of a running job with that many points."""
    opened = Database(make_engine(Settings(data_dir=data_dir, database_url="")))
    migrate(opened.engine)
    fill(opened, jobs)
    with opened.session() as session:
        job_id = str(session.scalars(select(Job.id).order_by(Job.id.desc()).limit(1)).one())
        values = {"state": "RUNNING", "attempt": 1}
        session.execute(update(Job).where(Job.id == job_id).values(**values))
        for name, every in (("loss", 1), ("accuracy", 1), ("eval/loss", 100)):
            rows = [
                {"job_id": job_id, "name": name, "step": 10 * n, "at": 1.0}
                | {"value": math.exp(-3 * n / points) * (1 + 0.2 * math.sin(n * n % 97))}
                for n in range(1, points + 1, every)
            ]
            for start in range(0, len(rows), 5_000):
                session.execute(insert(MetricPoint), rows[start : start + 5_000])
    opened.close()
    return job_id


class Stopwatch:
    """A signed-in browser that measures frames.

    Attributes:
        rows: what was measured, by what was done.
    """

    def __init__(self, page: Browser, api: Api, seconds: float) -> None:
        self._page, self._seconds = page, seconds
        self.rows: dict[str, dict[str, float]] = {}
        self._page.emulate(width=1200)
        self._page.open(f"http://127.0.0.1:{api.port}/")
        wait_for(lambda: "Sign in" in page.text("main"))
        self.first_page_ms = page.run("return performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
        self.frames("sign-in page, nothing happens", "")
        page.type("#token", api.token + ENTER)
        wait_for(lambda: page.run("return document.querySelectorAll('tbody tr').length") > 20)

    def frames(self, what: str, act: str) -> None:
        """Measures while `act`, the body of a JavaScript function, is called at each frame."""
        times = sorted(self._page.run(_FRAMES, self._seconds, act))
        long = sum(one > LONG_MS for one in times) / len(times)
        at = {"median": 0.5, "p95": 0.95, "p99": 0.99}
        self.rows[what] = {name: times[int(share * (len(times) - 1))] for name, share in at.items()}
        self.rows[what] |= {"worst": times[-1], "long": long, "frames": len(times)}

    def shown_s(self, route: str, selector: str) -> float:
        """Seconds from the click on a link to that place to the element that it is for."""
        script = """
            const [route, selector] = arguments, begin = performance.now();
            location.hash = route;
            return new Promise((resolve) => (function look() {
              if (document.querySelector(selector)) resolve((performance.now() - begin) / 1000);
              else setTimeout(look, 5);
            })());
        """
        return float(self._page.run(script, route, selector))


def measure(jobs: int, points: int, seconds: float, directory: Path) -> dict[str, Any]:
    job_id = prepare(directory / "data", jobs, points)
    api = Api(directory / "data", "")
    try:
        with Browser(directory / "profile") as page:
            watch = Stopwatch(page, api, seconds)
            watch.frames(f"list of {jobs:,} jobs, read again every 2 s", "scrollBy(0, frame % 60 < 30 ? 8 : -8)")
            watch.frames(f"search in {jobs:,} jobs", _SEARCH)
            drawn = watch.shown_s(f"job/{job_id}", "[data-plot=loss] canvas")
            watch.frames(f"charts of {points:,} points, read again every 5 s", "scrollBy(0, frame % 60 < 30 ? 8 : -8)")
            keys = {"zoomed": "['+', '+', '0']", "panned": "['ArrowLeft', 'ArrowRight']"}
            for what, array in keys.items():
                watch.frames(f"{what} at every frame", _KEY.replace("ARRAY", array))
            watch.frames("pointer moves at every frame", _POINT)
            return {"first_page_ms": watch.first_page_ms, "chart_s": drawn, "frames": watch.rows}
    finally:
        api.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench dashboard", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if MISSING:
        print(f"{MISSING}: run scripts/browser", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as directory:
        result = measure(options.jobs, options.points, options.seconds, Path(directory))
    print(f"The page is there {result['first_page_ms']:.0f} ms after it was asked for.")
    print(f"The charts are drawn {result['chart_s']:.2f} s after the job was opened.")
    print(f"{'frames in ms':48} median    p95    p99  worst   long")
    for what, row in result["frames"].items():
        times = "".join(f"{row[name]:7.1f}" for name in ("median", "p95", "p99", "worst"))
        print(f"{what:48}{times} {100 * row['long']:5.1f} %")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))
    idle, *others = (row["long"] for row in result["frames"].values())
    return int(max(others) > idle + ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
