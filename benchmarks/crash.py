"""The predictor process is killed again and again under load: is any answer wrong, does any request hang?

    benchmarks/crash.py [--kills 50] [--pause 3] [--json FILE]

32 connections send requests all the while. `longest_outage_s` is the longest time that one more client, which sends a
request every few milliseconds, waited between two good answers. Exit 1 for a wrong answer, a request that hangs, or a
failure that is no 503 with Retry-After.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "serving_systems"))
from servers import PATH, need_wrk  # noqa: E402
from versions import ChangingServer, VersionLoad, cores, make_exports, workplace  # noqa: E402


class Probe:
    """A patient client that measures the longest time without an answer."""

    def __init__(self, server: ChangingServer) -> None:
        self.longest_s = 0.0
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probe")
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        headers = {"content-type": "application/json", "authorization": f"Bearer {self._server.token}"}
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=60)
        last = time.monotonic()
        while not self._stop.wait(0.005):
            connection.request("POST", PATH, '{"instances":[1.0]}', headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                now = time.monotonic()
                self.longest_s = max(self.longest_s, now - last)
                last = now


def serving(server: ChangingServer) -> psutil.Process:
    """The predictor that answers: the older one of those that use the processor. A spare that waits uses none, and one
    that is starting is younger."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.post('{"instances":[{"x":1.0}]}')[0] != 200:
            continue
        processes = server.predictors()
        try:
            before = [sum(process.cpu_times()[:2]) for process in processes]
            time.sleep(0.2)
            used = [sum(process.cpu_times()[:2]) - b for process, b in zip(processes, before, strict=True)]
            busy = [process for process, spent in zip(processes, used, strict=True) if spent > 0]
            if busy:
                return min(busy, key=lambda process: process.create_time())
        except psutil.NoSuchProcess:
            continue
    raise RuntimeError("no predictor serves")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--pause", type=float, default=3.0, help="seconds between two kills, on average")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    need_wrk()
    generator, server_cores = cores()
    with workplace() as place:
        exports = Path(place)
        make_exports(exports)
        server = ChangingServer(exports, server_cores)
        try:
            time.sleep(5)  # the spare predictor starts
            load, probe = VersionLoad(server, generator), Probe(server)
            for kill in range(1, options.kills + 1):
                time.sleep(random.uniform(0.5, 2 * options.pause - 0.5))
                os.kill(serving(server).pid, signal.SIGKILL)
                if kill % 10 == 0:
                    print(f"{kill} kills, longest outage {probe.longest_s:.2f} s", file=sys.stderr, flush=True)
            time.sleep(options.pause)
            probe.stop()
            checked = load.stop()
        finally:
            server.stop()
    result = {
        "kills": options.kills,
        "requests": checked.requests,
        "wrong": checked.wrong,
        "hung": checked.hung,
        "refused_503": checked.refused_503,
        "failed_otherwise": checked.failed_otherwise,
        "longest_outage_s": round(probe.longest_s, 3),
        "seconds": round(checked.seconds, 1),
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))
    print(json.dumps(result, indent=1))
    if result["wrong"] or result["hung"] or result["failed_otherwise"]:
        sys.exit("Wrong answers, requests that hang, or failures of another kind.")


if __name__ == "__main__":
    main()
