"""Predictions by gRPC and with binary bodies, beside grpc.aio with a constant answer.

    benchmarks/grpc.py [--seconds 3] [--streams 1,128] [--rows 1,1000] [--protocols …] [--json FILE]

The whole service with one version of a network of seven numbers, [64, 32]; server and load have a core each where there
are two. Answers are compared with a direct call of the signature; what a limit or the clock refuses is counted apart
from what is wrong, and exit 1 means a wrong answer. CPU µs is processor time of all the server's
processes a call; the load's own share is told, for a client in Python is busy before the service is.
"""

# ruff: noqa: E402
from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.remove(str(HERE))  # this file has the name of a package that is imported here
sys.path[:0] = [str(HERE.parent), str(HERE / "grpc_systems")]

import argparse
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.serving_systems.servers import Server, free_port

GRPC = ("tfs_grpc", "oip_grpc")
PROTOCOLS = (*GRPC, "oip_rest_binary", "rest_arrow", "rest_json")
MOST_ROWS = 32_000
"""Rows in flight: one token may not have more (`PREDICT_ROWS_IN_FLIGHT`), so that fewer streams carry many rows."""
SYSTEMS = ("ours", "grpc_aio_constant")
BARS = (
    ("calls/s at 128 streams, of grpc.aio's with a constant", ("ours", "tfs_grpc", 128, 1), 0.9, "calls_per_s"),
    ("rows/s with 1,000 rows a call by gRPC", ("ours", "tfs_grpc", 0, 1000), 1_000_000, "rows_per_s"),
    ("rows/s with 1,000 rows a call as Arrow", ("ours", "rest_arrow", 0, 1000), 800_000, "rows_per_s"),
)


def cores() -> tuple[set[int], set[int]]:
    """Of the server, and of the load."""
    mine = sorted(os.sched_getaffinity(0))
    return {mine[0]}, {mine[1 % len(mine)]}


class Asked(Server):
    """A server of one of the systems here."""

    def _wait(self) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.system == "ours" and self.post('{"instances": [{}]}')[0] == 200:
                    return
                if self.system != "ours":
                    socket.create_connection(("127.0.0.1", self.port), 1).close()
                    return
            except OSError:
                pass
            time.sleep(0.2)
        self.stop()
        raise RuntimeError(f"{self.system} did not answer")


@contextmanager
def running(system: str, exports: Path) -> Iterator[tuple[Server, dict[str, str], str]]:
    """The server, its address by protocol, and a token for it."""
    port = free_port()
    os.environ["GRPC_PORT"] = str(port)
    server = Asked(system, "numbers", exports, cores()[0], cases=False)
    try:
        http = f"127.0.0.1:{server.port}"
        rpc = http if system == "grpc_aio_constant" else f"127.0.0.1:{port}"
        yield server, {name: rpc if name in GRPC else http for name in PROTOCOLS}, server.token
    finally:
        server.stop()


def measure(system: str, exports: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    results = []
    with running(system, exports) as (server, addresses, token):
        server.settle()
        for protocol in options.protocols.split(","):
            if system != "ours" and protocol != "tfs_grpc":
                continue
            for streams in map(int, options.streams.split(",")):
                for rows in map(int, options.rows.split(",")):
                    if system != "ours" and rows != 1:
                        continue
                    fitting = max(1, min(streams, MOST_ROWS // rows))
                    words = [system, protocol, addresses[protocol], token, fitting, rows, options.seconds, exports]
                    results.append(_load(server, words))
                    print(line(results[-1]), flush=True)
    return results


def _load(server: Server, words: list[Any]) -> dict[str, Any]:
    before = server.cpu_seconds()
    done = subprocess.run(
        [sys.executable, str(HERE / "grpc_systems" / "load.py"), *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        preexec_fn=lambda: os.sched_setaffinity(0, cores()[1]),
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    found = json.loads(done.stdout)
    seconds = float(words[6])
    # The half second before the count made calls too, at about the same rate.
    calls = found["calls"] * (seconds + 0.5) / seconds
    return {
        "system": words[0],
        "protocol": words[1],
        "streams": words[4],
        "rows": words[5],
        "calls_per_s": round(found["calls_per_s"], 1),
        "rows_per_s": round(found["calls_per_s"] * words[5]),
        "p50_ms": round(found["p50_ms"], 3),
        "p99_ms": round(found["p99_ms"], 3),
        "cpu_us": round((server.cpu_seconds() - before) * 1e6 / max(1.0, calls), 1),
        "client_busy": round(found["client_busy"], 2),
        "wrong": found["wrong"],
        "first_wrong": found["first_wrong"],
        "refused": found["refused"],
    }


def line(row: dict[str, Any]) -> str:
    return (
        f"| {row['system']} | {row['protocol']} | {row['streams']} | {row['rows']} | {row['calls_per_s']:,.0f} "
        f"| {row['rows_per_s']:,} | {row['p50_ms']:.2f} | {row['p99_ms']:.2f} | {row['cpu_us']:.0f} "
        f"| {row['client_busy']:.0%} | {row['wrong']} | {_refusals(row['refused'])} |"
    )


def _refusals(refused: dict[str, int]) -> str:
    return ", ".join(f"{count} with {status}" for status, count in refused.items()) or "0"


def verdicts(results: list[dict[str, Any]]) -> list[str]:
    lines = []
    for name, (system, protocol, streams, rows), bar, field in BARS:
        cells = [
            row for row in results
            if (row["system"], row["protocol"], row["rows"]) == (system, protocol, rows)
            and streams in (0, row["streams"])
        ]  # fmt: skip
        best = max((row[field] for row in cells), default=0.0)
        if bar < 1:
            limit = [row for row in results if row["system"] != "ours" and row["streams"] == streams]
            best = best / limit[0][field] if limit else 0.0
        if best:
            lines.append(f"{name}: {best:,.2f} (bar {bar:,}, {'reached' if best >= bar else 'NOT reached'})")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--streams", default="1,128")
    parser.add_argument("--rows", default="1,1000")
    parser.add_argument("--protocols", default=",".join(PROTOCOLS))
    parser.add_argument("--json", type=Path, help="write the results here")
    options = parser.parse_args()
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as exports:
        make = [sys.executable, str(HERE / "grpc_systems" / "make_numbers.py"), exports]
        subprocess.run(make, check=True, capture_output=True)
        print("| system | protocol | streams | rows | calls/s | rows/s | p50 ms | p99 ms | CPU µs | client", end="")
        print(" | wrong | refused |")
        print("|---|---|---|---|---|---|---|---|---|---|---|---|")
        for system in SYSTEMS:
            results += measure(system, Path(exports), options)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    print("\n".join(verdicts(results)))
    wrong = [f"{row['protocol']}, {row['streams']} streams: {row['first_wrong']}" for row in results if row["wrong"]]
    if wrong:
        sys.exit("There were wrong answers. The first of each cell:\n" + "\n".join(wrong))


if __name__ == "__main__":
    main()
