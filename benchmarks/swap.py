"""Version changes under constant load: are all requests answered, and right?

    benchmarks/swap.py [--swaps 500] [--releases N] [--lanes 1] [--held-by 0] [--rolling] [--json FILE]

New versions are put on record one after the other, as training jobs do it; every tenth one is broken. The next comes as
soon as the label `latest` has moved. 32 connections send requests all the while, and every answer is compared with the
version in its header. `--rolling`: all lanes are replaced in the middle (SIGHUP). `p99_ratio` is to a run without
changes before, `rss_slope_mb_per_swap` a straight line through the memory of all processes (PSS) after the first
quarter. `--releases N`: after every N changes a release begins, and is aborted, ended by hand or brought to its end in
turn; `split` has the counts of both versions against the shares. `--held-by 1`: one lane has the model in memory and
answers for the others. Exit 1 when a request failed, an answer was wrong, or
the counts are off.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "serving_systems"))
from release_walk import ReleaseWalk  # noqa: E402
from servers import need_wrk  # noqa: E402
from versions import ChangingServer, Checked, VersionLoad, cores, make_exports, step_aside, workplace  # noqa: E402

QUIET_S = 10.0
BROKEN_EVERY = 10
WAIT_S = 60.0


def wait_for(server: ChangingServer, number: int, *, broken: bool) -> None:
    """Until the version is FAILED, or serves."""
    from app.registry.models import ModelRepository

    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        with server.database.read() as session:
            models = ModelRepository(session)
            if broken and models.version("m", number).state == "FAILED":
                return
            if not broken and models.labels("m") and models.label("m", "latest").version == number:
                return
        time.sleep(0.02)
    raise RuntimeError(f"version {number} did not come within {WAIT_S:.0f} s")


def slope(values: list[float]) -> float:
    """Of the least-squares line through (index, value)."""
    count = len(values)
    if count < 2:
        return 0.0
    middle, mean = (count - 1) / 2, sum(values) / count
    above = sum((i - middle) * (value - mean) for i, value in enumerate(values))
    return above / sum((i - middle) ** 2 for i in range(count))


def told(options: argparse.Namespace, quiet: Checked, busy: Checked, walk: ReleaseWalk, memory: list[float]) -> Any:
    """The result, as it is printed."""
    return {
        "swaps": options.swaps,
        "lanes": options.lanes,
        "held_by": options.held_by or options.lanes,
        "rolling": options.rolling,
        "requests": busy.requests,
        "failed": busy.refused_503 + busy.failed_otherwise + busy.broken + busy.hung,
        "wrong": busy.wrong,
        **walk.told(),
        "p99_ratio": round(busy.p99_ms / quiet.p99_ms, 3),
        "rss_slope_mb_per_swap": round(slope(memory[len(memory) // 4 :]), 4),
        "seconds": round(busy.seconds, 1),
        "p99_ms": busy.p99_ms,
        "quiet_p99_ms": quiet.p99_ms,
        "rss_mb": round(memory[-1], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swaps", type=int, default=500)
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--held-by", type=int, default=0, help="lanes that have the model; 0: all")
    parser.add_argument("--rolling", action="store_true", help="a rolling restart in the middle")
    parser.add_argument("--releases", type=int, default=0, metavar="N", help="a release after every N changes")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    need_wrk()
    generator, server_cores = cores()
    with workplace() as place:
        exports = Path(place)
        make_exports(exports)
        server = ChangingServer(exports, server_cores, lanes=options.lanes)
        try:
            server.hold_in(options.held_by)
            time.sleep(5)  # the spare predictor starts
            load = VersionLoad(server, generator)
            time.sleep(QUIET_S)
            quiet = load.stop()
            load = VersionLoad(server, generator)
            step_aside(generator)
            number, memory = 1, []
            walk = ReleaseWalk(server.database)
            for swap in range(1, options.swaps + 1):
                if swap % BROKEN_EVERY == 0:
                    number += 1
                    server.publish(number, broken=True)
                    wait_for(server, number, broken=True)
                if options.rolling and swap == options.swaps // 2:
                    server.rolling_restart()
                before, number = number, number + 1
                server.publish(number, broken=False)
                wait_for(server, number, broken=False)
                if options.releases and swap % options.releases == 0 and swap % BROKEN_EVERY:
                    walk.step(number, before)
                memory.append(server.rss_mb())
                if swap % 20 == 0:
                    parts = " + ".join(f"{part:.1f}" for part in server.memory_mb())
                    print(f"{swap} swaps, {memory[-1]:.1f} MB = {parts}", file=sys.stderr, flush=True)
            busy = load.stop()
        finally:
            server.stop()
    result = told(options, quiet, busy, walk, memory)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))
    print(json.dumps(result, indent=1))
    if result["failed"] or result["wrong"]:
        sys.exit("Requests failed, or answers were wrong.")
    if walk.is_off():
        sys.exit("Requests were not divided as the labels say.")


if __name__ == "__main__":
    main()
