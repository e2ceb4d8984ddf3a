"""How serving grows with cores, lanes, loaded models, rows a request and model size.

    benchmarks/serving_growth.py [--seconds 5] [--cores 1,2] [--lanes 1,2] [--models 1,10,100]
                                 [--rows 1,10,100,1000,10000] [--megabytes 200]

The whole service on one core, wrk on another. Cores: the service may use that many, wrk's among them when there are no
more. Lanes: so many API processes with a predictor each; they may use all cores, wrk's among them, and `wrk` is the
processor time that this took per request; `most`: requests of the busiest lane, by the mean of all. Models: that many
copies are in memory, one of them is asked from 32 connections. Rows: 4 connections. Size: one dense layer of that many
megabytes, 32 connections. Prints a table each; an empty list leaves one out.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "serving_systems"))
from servers import Server, need_wrk  # noqa: E402

CONNECTIONS, FEW_CONNECTIONS = 32, 4
UNITS = " | requests/s | rows/s | p50 ms | p99 ms | CPU µs a request | MB |"
CELLS = [(1, 1), (32, 1), (128, 1), (32, 32)]


def grown(server: Server, rows: int, connections: int, seconds: float) -> str:
    generator = min(os.sched_getaffinity(0))
    server.load(connections, rows, 1.0, generator)
    load = server.load(connections, rows, seconds, generator)
    if load.failed:
        sys.exit(f"{load.failed} requests failed.")
    rate = f"{load.requests_per_s:,.0f} | {load.requests_per_s * rows:,.0f} | {load.p50_ms:.1f} | {load.p99_ms:.1f}"
    return f"{rate} | {load.cpu_us:,.0f} | {server.rss_mb():,.0f} |"


def write_bodies(exports: Path, model: str, rows: int) -> None:
    """Requests of that many rows from the known single ones."""
    cases = json.loads((exports / f"{model}-1.json").read_text())
    instances = [json.loads(case["body"])["instances"][0] for case in cases]
    bodies = [
        json.dumps({"instances": [instances[(start + i) % len(instances)] for i in range(rows)]}) for start in range(4)
    ]
    (exports / f"bodies-{model}-{rows}.txt").write_text("\n".join(bodies))


def wait_for_copies(server: Server, count: int) -> None:
    for number in range(1, count):
        while server.post('{"instances":[{"x":1.0}]}', f"/v1/models/m{number}:predict")[0] != 200:
            time.sleep(0.1)


def over_cores(exports: Path, counts: list[int], seconds: float) -> None:
    every = sorted(os.sched_getaffinity(0))
    print(f"| cores | connections | rows{UNITS}\n|{'---|' * 9}")
    for count in counts:
        server = Server("ours", "small", exports, set(every[-count:]))
        try:
            server.settle()
            for connections, rows in CELLS:
                told = grown(server, rows, connections, seconds)
                print(f"| {count} | {connections} | {rows} | {told}", flush=True)
        finally:
            server.stop()


def lane_requests(server: Server) -> dict[str, float]:
    """Predictions that each lane has answered."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", "/metrics", headers={"authorization": f"Bearer {server.token}"})
    text = connection.getresponse().read().decode()
    connection.close()
    found: dict[str, float] = {}
    for labels, count in re.findall(r"^serving_requests_total\{(.*)\} (\S+)", text, re.MULTILINE):
        lane = re.search(r'lane="(\d+)"', labels)
        name = lane[1] if lane else "0"
        found[name] = found.get(name, 0.0) + float(count)
    return found


def over_lanes(exports: Path, counts: list[int], seconds: float) -> None:
    (exports / "bodies-busy-1.txt").write_text('{"instances":[{"x":1.0}]}')
    print(f"\n| model | lanes | connections{UNITS} wrk µs | most |\n|{'---|' * 11}")
    for model in ("small", "busy"):
        for count in counts:
            server = Server("ours", model, exports, os.sched_getaffinity(0), cases=model == "small", lanes=count)
            try:
                server.settle()
                for connections in (1, 64, 128):
                    before, spent = lane_requests(server), time_of_children()
                    told = grown(server, 1, connections, seconds)
                    after, spent = lane_requests(server), time_of_children() - spent
                    answered = [after[lane] - before.get(lane, 0.0) for lane in after]
                    most = max(answered) * count / sum(answered)
                    used = spent * 1e6 / sum(answered)
                    print(f"| {model} | {count} | {connections} | {told} {used:,.0f} | {most:.2f} |", flush=True)
            finally:
                server.stop()


def time_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def over_models(exports: Path, counts: list[int], seconds: float) -> None:
    (exports / "bodies-plus1-1.txt").write_text('{"instances":[{"x":1.0}]}')
    print(f"\n| models in memory{UNITS} all loaded after s |\n|{'---|' * 8}")
    for count in counts:
        started = time.monotonic()
        server = Server("ours", "plus1", exports, _one_core(), cases=False, copies=count)
        try:
            wait_for_copies(server, count)
            took = time.monotonic() - started
            server.settle()
            print(f"| {count} | {grown(server, 1, CONNECTIONS, seconds)} {took:.1f} |", flush=True)
        finally:
            server.stop()


def over_rows(exports: Path, counts: list[int], seconds: float) -> None:
    print(f"\n| rows a request{UNITS}\n|{'---|' * 7}")
    server = Server("ours", "small", exports, _one_core())
    try:
        server.settle()
        for rows in counts:
            write_bodies(exports, "small", rows)
            print(f"| {rows} | {grown(server, rows, FEW_CONNECTIONS, seconds)}", flush=True)
    finally:
        server.stop()


def over_sizes(exports: Path, sizes: list[int], seconds: float) -> None:
    print(f"\n| model size, MB{UNITS} first answer after s |\n|{'---|' * 8}")
    for megabytes in sizes:
        started = time.monotonic()
        server = Server("ours", f"wide{megabytes}", exports, _one_core())
        took = time.monotonic() - started
        try:
            server.settle()
            print(f"| {megabytes} | {grown(server, 1, CONNECTIONS, seconds)} {took:.1f} |", flush=True)
        finally:
            server.stop()


def _one_core() -> set[int]:
    return {max(os.sched_getaffinity(0))}


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--cores", default="1,2")
    parser.add_argument("--lanes", default="1,2")
    parser.add_argument("--models", default="1,10,100")
    parser.add_argument("--rows", default="1,10,100,1000,10000")
    parser.add_argument("--megabytes", default="200")
    options = parser.parse_args()
    need_wrk()
    parts = {
        over_cores: options.cores,
        over_lanes: options.lanes,
        over_models: options.models,
        over_rows: options.rows,
        over_sizes: options.megabytes,
    }
    with tempfile.TemporaryDirectory() as place:
        exports = Path(place)
        make = [sys.executable, str(HERE / "serving_systems" / "make_exports.py"), place, options.megabytes]
        subprocess.run(make, check=True, capture_output=True)
        for part, numbers in parts.items():
            if numbers:
                part(exports, _numbers(numbers), options.seconds)


if __name__ == "__main__":
    main()
