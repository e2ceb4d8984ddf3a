"""Processes of the service are killed again and again under load: is any answer wrong, does any request hang?

    benchmarks/crash.py [--kills 50] [--pause 3] [--lanes 1] [--held-by 0] [--what predictor,lane,nursery,spare]
        [--grpc] [--json FILE]

What is killed is drawn from `--what`: a predictor that serves, a lane (API process), the lane nursery or the fork
server, the spare. 32 connections send requests all the while. `longest_outage_s` is the longest time that one more
client, which sends a request every few milliseconds and once more when its connection breaks, waited between two good
answers; for each kind, the longest around its kills. `broken` requests had a connection to a lane that was killed.
Exit 1 for a wrong answer, a request that hangs, a failure that is no 503 with Retry-After, or connections that break
where no lane was killed.

With `--held-by 1` one lane has the model in memory and answers for the others.

With `--grpc` two more clients call by gRPC, one over one channel and one over a new channel each time, and again when a
call fails; `grpc` has the longest time that each waited between two good answers, for each kind of kill, and how its
calls ended. One that had no answer within ten seconds is DEADLINE_EXCEEDED: it hung, and exit is 1.
"""

# ruff: noqa: E402
from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.remove(str(HERE))  # it has a file with the name of a package that is imported here
sys.path[:0] = [str(HERE / "serving_systems"), str(HERE.parent)]

import argparse
import http.client
import json
import os
import random
import threading
import time
from collections import Counter
from typing import Any

import grpc
import psutil
from servers import PATH, free_port, need_wrk
from versions import ChangingServer, VersionLoad, cores, make_exports, workplace

from app.protocols import tfs_schema

PREDICT = "/tensorflow.serving.PredictionService/Predict"
PATIENT_S = 10.0


class Probe:
    """A patient client that measures the longest time without an answer, and tries a broken request once more."""

    def __init__(self, server: ChangingServer) -> None:
        self.longest_s = 0.0
        self.longest_of: dict[str, float] = {}
        self.around = "start"
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probe")
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def good(self, last: float) -> float:
        """An answer came; the one before it at `last`."""
        now = time.monotonic()
        self.longest_s = max(self.longest_s, now - last)
        self.longest_of[self.around] = max(self.longest_of.get(self.around, 0.0), now - last)
        return now

    def _run(self) -> None:
        headers = {"content-type": "application/json", "authorization": f"Bearer {self._server.token}"}
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=60)
        last = time.monotonic()
        while not self._stop.wait(0.005):
            try:
                connection.request("POST", PATH, '{"instances":[1.0]}', headers)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                continue
            if answer.status == 200:
                last = self.good(last)


class GrpcProbe(Probe):
    """The same by gRPC.

    Args:
        anew: a new channel for each call.
    """

    def __init__(self, server: ChangingServer, port: int, *, anew: bool) -> None:
        self.ended: Counter[str] = Counter()
        self._address, self._anew = f"127.0.0.1:{port}", anew
        super().__init__(server)

    def shown(self) -> dict[str, Any]:
        return {"longest_s_of": {kind: round(s, 3) for kind, s in self.longest_of.items()}, "calls": dict(self.ended)}

    def _channel(self) -> grpc.Channel:
        return grpc.insecure_channel(self._address, [("grpc.use_local_subchannel_pool", 1)])

    def _run(self) -> None:
        request = tfs_schema.PUBLIC.message("tensorflow.serving.PredictRequest")()
        request.model_spec.name = "m"
        request.inputs["x"].dtype = 1
        request.inputs["x"].float_val.append(1.0)
        request.inputs["x"].tensor_shape.dim.add(size=1)
        body = request.SerializeToString()
        token = [("authorization", f"Bearer {self._server.token}")]
        channel, last = self._channel(), time.monotonic()
        while not self._stop.wait(0.005):
            try:
                channel.unary_unary(PREDICT)(body, metadata=token, timeout=PATIENT_S)
                self.ended["OK"] += 1
                last = self.good(last)
            except grpc.RpcError as error:
                self.ended[error.code().name] += 1
            if self._anew:
                channel.close()
                channel = self._channel()
        channel.close()


KINDS = ("predictor", "lane", "nursery", "spare")


def victim(server: ChangingServer, kind: str, lanes: int) -> psutil.Process | None:
    """A process of that kind; None while there is none, for it was killed a moment ago."""
    if kind == "lane":
        found = server.named(*(f"lane-{index}" for index in range(lanes)))
    elif kind == "nursery":
        found = server.named("lane-nursery", "fork-server")
    else:
        found = server.named("predictor")
        if len(found) <= lanes:
            return None  # the spare is not there yet
        idle = spare(found)
        found = [idle] if kind == "spare" else [one for one in found if one is not idle]
    return random.choice(found) if found else None


def spare(predictors: list[psutil.Process]) -> psutil.Process:
    """The one that used the least of the processor in a tenth of a second."""
    before = [sum(process.cpu_times()[:2]) for process in predictors]
    time.sleep(0.1)
    used = [sum(process.cpu_times()[:2]) - b for process, b in zip(predictors, before, strict=True)]
    return predictors[min(range(len(used)), key=lambda at: (used[at], -at))]


def kill(server: ChangingServer, kind: str, lanes: int) -> None:
    """Waits for one to kill."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if (process := victim(server, kind, lanes)) is not None:
                process.kill()
                return
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"no {kind} came")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--pause", type=float, default=3.0, help="seconds between two kills, on average")
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--held-by", type=int, default=0, help="lanes that have the model; 0: all")
    parser.add_argument("--what", default=",".join(KINDS), help="kinds of processes (default: %(default)s)")
    parser.add_argument("--grpc", action="store_true", help="two clients by gRPC as well")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    need_wrk()
    generator, server_cores = cores()
    with workplace() as place:
        make_exports(exports := Path(place))
        grpc_port = free_port()
        if options.grpc:
            os.environ["GRPC_PORT"] = str(grpc_port)
        server = ChangingServer(exports, server_cores, lanes=options.lanes)
        try:
            server.hold_in(options.held_by)
            time.sleep(5)  # the spare predictor starts
            load, probe = VersionLoad(server, generator), Probe(server)
            callers = {"kept": False, "anew": True} if options.grpc else {}
            by_grpc = {name: GrpcProbe(server, grpc_port, anew=anew) for name, anew in callers.items()}
            for number in range(1, options.kills + 1):
                time.sleep(random.uniform(0.5, 2 * options.pause - 0.5))
                probe.around = random.choice(options.what.split(","))
                for caller in by_grpc.values():
                    caller.around = probe.around
                kill(server, probe.around, options.lanes)
                if number % 10 == 0:
                    print(f"{number} kills, longest outage {probe.longest_s:.2f} s", file=sys.stderr, flush=True)
            time.sleep(options.pause)
            for asker in (probe, *by_grpc.values()):
                asker.stop()
            checked = load.stop()
        finally:
            server.stop()
    result = {
        "kills": options.kills,
        "lanes": options.lanes,
        "held_by": options.held_by or options.lanes,
        "requests": checked.requests,
        "wrong": checked.wrong,
        "hung": checked.hung,
        "refused_503": checked.refused_503,
        "failed_otherwise": checked.failed_otherwise,
        "broken": checked.broken,
        "longest_outage_s": round(probe.longest_s, 3),
        "longest_outage_s_of": {kind: round(longest, 3) for kind, longest in probe.longest_of.items()},
        "seconds": round(checked.seconds, 1),
        "grpc": {name: caller.shown() for name, caller in by_grpc.items()},
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))
    print(json.dumps(result, indent=1))
    unexplained = checked.broken if "lane" not in options.what else 0
    hung = checked.hung + sum(caller.ended["DEADLINE_EXCEEDED"] for caller in by_grpc.values())
    if result["wrong"] or hung or result["failed_otherwise"] or unexplained:
        sys.exit("Wrong answers, requests that hang, or failures of another kind.")


if __name__ == "__main__":
    main()
