"""How serving grows with cores, lanes, loaded models, rows a request and model size.

    benchmarks/serving_growth.py [--seconds 5] [--cores 1,2] [--lanes 1,2] [--models 1,10,100]
                                 [--rows 1,10,100,1000,10000] [--megabytes 200] [--hosts 16,64]

The whole service on one core, wrk on another. Cores: the service may use that many, wrk's among them when there are no
more. Lanes: so many API processes with a predictor each; they may use all cores, wrk's among them; `wrk` is the
processor time that this took per request, `most` requests of the busiest lane by the mean of all, `shared` processor
seconds a second of what lanes share. Hosts: what that lets expect of hosts with so many cores
(serving_systems/larger_hosts.py). Models: that many copies are in memory, one of them is asked from 32 connections.
Rows: 4 connections. Size: one dense layer of that many megabytes, 32 connections. Prints a table each; an empty list
leaves one out.
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
from larger_hosts import Measured, table  # noqa: E402
from servers import Load, Server, need_wrk  # noqa: E402

CONNECTIONS, FEW_CONNECTIONS = 32, 4
UNITS = " | requests/s | rows/s | p50 ms | p99 ms | CPU µs a request | MB |"
CELLS = [(1, 1), (32, 1), (128, 1), (32, 32)]


def grown(server: Server, rows: int, connections: int, seconds: float) -> tuple[str, Load]:
    """Cells of a row, and what they tell."""
    generator = min(os.sched_getaffinity(0))
    server.load(connections, rows, 1.0, generator)
    load = server.load(connections, rows, seconds, generator)
    if load.failed:
        sys.exit(f"{load.failed} requests failed.")
    rate = f"{load.requests_per_s:,.0f} | {load.requests_per_s * rows:,.0f} | {load.p50_ms:.1f} | {load.p99_ms:.1f}"
    return f"{rate} | {load.cpu_us:,.0f} | {server.rss_mb():,.0f} |", load


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
                told, _ = grown(server, rows, connections, seconds)
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


def over_lanes(exports: Path, counts: list[int], seconds: float) -> list[Measured]:
    """What the runs with the small model and the most connections took. Says which bars two lanes reach."""
    (exports / "bodies-busy-1.txt").write_text('{"instances":[{"x":1.0}]}')
    print(f"\n| model | lanes | connections{UNITS} wrk µs | most | shared |\n|{'---|' * 12}")
    found = []
    loads: dict[tuple[str, int], Load] = {}
    for model in ("small", "busy"):
        for count in counts:
            server = Server("ours", model, exports, os.sched_getaffinity(0), cases=model == "small", lanes=count)
            try:
                server.settle()
                for connections in (1, 64, 128):
                    before, spent, began = lane_requests(server), time_of_children(), time.monotonic()
                    shared, own = server.cpu_seconds(shared=True), server.cpu_seconds()
                    told, loads[model, count] = grown(server, 1, connections, seconds)
                    shared, own = server.cpu_seconds(shared=True) - shared, server.cpu_seconds() - own
                    shared_s = shared / (time.monotonic() - began)
                    after, spent = lane_requests(server), time_of_children() - spent
                    answered = [after[lane] - before.get(lane, 0.0) for lane in after]
                    most = max(answered) * count / sum(answered)
                    used = spent * 1e6 / sum(answered)
                    end = f"{used:,.0f} | {most:.2f} | {shared_s:.3f}"
                    print(f"| {model} | {count} | {connections} | {told} {end} |", flush=True)
                if model == "small":
                    found.append(Measured(count, shared_s, (own - shared) * 1e6 / sum(answered)))
            finally:
                server.stop()
    few, many = min(counts), max(counts)
    if many > few:
        cpu = loads["small", many].cpu_us / loads["small", few].cpu_us
        rate = loads["busy", many].requests_per_s / loads["busy", few].requests_per_s
        print(f"\nCPU of a request, {many} lanes against {few}: {cpu:.2f} (bar 1.1)")
        print(f"requests/s of the busy model, {many} lanes against {few}: {rate:.2f} (bar 1.8 for two against one)")
    return found


def over_hosts(measured: list[Measured], cores: list[int]) -> None:
    print("\n| cores and lanes | connections | most | requests/s if even | requests/s by the busiest lane | shared |")
    print("|---|---|---|---|---|---|")
    print("\n".join(table(measured, cores)), flush=True)


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
            print(f"| {count} | {grown(server, 1, CONNECTIONS, seconds)[0]} {took:.1f} |", flush=True)
        finally:
            server.stop()


def over_rows(exports: Path, counts: list[int], seconds: float) -> None:
    print(f"\n| rows a request{UNITS}\n|{'---|' * 7}")
    server = Server("ours", "small", exports, _one_core())
    try:
        server.settle()
        for rows in counts:
            write_bodies(exports, "small", rows)
            print(f"| {rows} | {grown(server, rows, FEW_CONNECTIONS, seconds)[0]}", flush=True)
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
            print(f"| {megabytes} | {grown(server, 1, CONNECTIONS, seconds)[0]} {took:.1f} |", flush=True)
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
    parser.add_argument("--hosts", default="16,64", help="needs --lanes")
    options = parser.parse_args()
    need_wrk()
    parts = {
        over_cores: options.cores,
        over_models: options.models,
        over_rows: options.rows,
        over_sizes: options.megabytes,
    }
    with tempfile.TemporaryDirectory() as place:
        exports = Path(place)
        make = [sys.executable, str(HERE / "serving_systems" / "make_exports.py"), place, options.megabytes]
        subprocess.run(make, check=True, capture_output=True)
        if options.lanes:
            measured = over_lanes(exports, _numbers(options.lanes), options.seconds)
            over_hosts(measured, _numbers(options.hosts))
        for part, numbers in parts.items():
            if numbers:
                part(exports, _numbers(numbers), options.seconds)


if __name__ == "__main__":
    main()
