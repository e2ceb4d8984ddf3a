"""The process that forks lanes: it has the whole API imported, serves nothing, and has one thread.

`python -m app.lanes.nursery nursery PARENT FD`, started by the serving parent. A fork takes a tenth of a second where
an import takes one or two, and lanes share what was imported. They are the parent's children, and live on when this
process dies.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys

from app.host_table import HostTable
from app.process import die_with_parent, fork_child_of, name_process, show_command
from app.serving.forkserver import PID

_MOST_SOCKETS = 32


def main(arguments: list[str]) -> None:
    _, parent, descriptor = arguments
    die_with_parent(parent=int(parent))
    name_process("lane-nursery")
    for number in (signal.SIGINT, signal.SIGHUP):  # they reach a terminal's whole group, and are for the parent
        signal.signal(number, signal.SIG_IGN)
    from app import main as api
    from app.config import Settings
    from app.lanes.lane import serve_lane
    from app.lanes.link import LanePlace
    from app.log import configure

    settings = Settings()
    configure(settings.log_level)
    gc.freeze()
    asked = socket.socket(fileno=int(descriptor))
    given = _serve_fork(asked, int(parent))  # the first lane does not wait for what only later requests want
    if given is None and settings.lanes > 1:  # a lane alone would not share it
        api.import_all(settings)
        gc.collect()
        gc.freeze()
    while given is None:
        given = _serve_fork(asked, int(parent))
    words, descriptors = given
    index, lanes, seats, seat, patience_s, grpc_port = words
    control, shared, *of_listeners = descriptors
    listeners = [socket.socket(fileno=descriptor) for descriptor in of_listeners]
    name_process(f"lane-{index}")
    show_command("-m", "app.main", f"lane-{index}")
    table = HostTable(shared, int(seats), int(seat))
    place = LanePlace(int(index), int(lanes), table, float(patience_s), int(grpc_port))
    serve_lane(settings, socket.socket(fileno=control), listeners, place)


def _serve_fork(asked: socket.socket, parent: int) -> tuple[list[str], list[int]] | None:
    """Waits for a packet and forks a lane for it. Words and descriptors in the lane, None here."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel clears away what stands between a lane and its parent
    words, descriptors, *_ = socket.recv_fds(asked, 1024, _MOST_SOCKETS)
    if not descriptors:
        os._exit(0)  # the parent is gone
    if fork_child_of(parent, lambda pid: asked.sendall(PID.pack(pid))):
        asked.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        return words.decode().split(), descriptors
    for descriptor in descriptors:
        os.close(descriptor)
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
