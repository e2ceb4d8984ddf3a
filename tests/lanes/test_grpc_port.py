"""The gRPC port of a host whose lanes are killed."""

from __future__ import annotations

import signal
import threading
from types import TracebackType

import grpc

from tests.lanes.conftest import Host
from tests.waiting import wait_for


class GrpcCaller:
    """Calls every few milliseconds over one channel, or over a new one each time.

    Attributes:
        answered: number of answers; failures: names of the statuses of calls that had none.
    """

    def __init__(self, host: Host, *, anew: bool = False) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self._host, self._anew = host, anew
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="grpc caller")

    def __enter__(self) -> GrpcCaller:
        self._thread.start()
        self.wait_for_more()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(60)

    def wait_for_more(self) -> None:
        seen = self.answered
        wait_for(lambda: self.answered > seen + 10)

    def _run(self) -> None:
        channel = self._host.channel()
        while not self._stop.wait(0.005):
            try:
                self._host.predict_by_grpc(channel, [1.0]).result()
                self.answered += 1
            except grpc.RpcError as error:
                self.failures.append(error.code().name)
            if self._anew:
                channel.close()
                channel = self._host.channel()
        channel.close()


def test_killed_lane_leaves_no_grpc_caller_waiting(host: Host) -> None:
    for name in ("lane-0", "lane-1"):
        before = host.serving()
        [lane] = host.named(name)
        with GrpcCaller(host) as kept, GrpcCaller(host) as another, GrpcCaller(host, anew=True) as new:
            lane.send_signal(signal.SIGKILL)
            wait_for(lambda name=name, lane=lane: lane not in host.named(name))  # type: ignore[misc]
            for caller in (kept, another, new):  # the other lane answers
                caller.wait_for_more()
            wait_for(lambda before=before: host.serving() > before)  # type: ignore[misc]
            new.wait_for_more()  # and so does the new one
        # those who were connected to the dead lane are told so: no call waits for its deadline
        assert {*kept.failures, *another.failures, *new.failures} <= {"UNAVAILABLE"}
        wait_for(host.settled)
