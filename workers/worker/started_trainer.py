"""The start of a trainer's process: a fork, where a fork server has TensorFlow imported already, else an exec."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence

from app.process import TRAINERS_FD
from workers.worker.trainer_protocol import ENDED, FORKED, KEEPER_READY, MOST_BYTES

_KEEPER_WITHIN_S = 30.0
"""How long a fork server may import TensorFlow, or be started again, before a trainer is exec'd instead."""


class TrainerStart:
    """A trainer's process, from the wish for it to its end. Its standard input and output are pipes.

    A fork server is asked at once and answers when it can. Until its keeper is there, nothing is promised: with none in
    time, or where the fork server dies, the trainer is exec'd.

    Args:
        command: what is exec'd.
        environment: all variables of the trainer.
        descriptors: open files that it inherits.

    Attributes:
        pid: 0 until there is a process.
        input, output: our ends of its pipes.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], descriptors: Sequence[int], *, fork: bool
    ) -> None:
        self._command, self._environment, self._descriptors = list(command), dict(environment), list(descriptors)
        theirs_in, self.input = os.pipe()
        self.output, theirs_out = os.pipe()
        self._theirs: tuple[int, ...] = (theirs_in, theirs_out)
        self.pid = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._until = time.monotonic() + _KEEPER_WITHIN_S
        self._keeper = self._ask_for_keeper() if fork else None
        if self._keeper is None:
            self._exec()

    def wait_for_output(self, timeout_s: float) -> bool:
        """Whether there is output, or its end, within that time; meanwhile the trainer may come to be."""
        if self._theirs and time.monotonic() > self._until:
            self._exec()
        sources: list[int | socket.socket] = [self.output]
        if self._keeper is not None and not self.pid:
            sources.append(self._keeper)
        ready = select.select(sources, [], [], timeout_s)[0]
        speaks = self.output in ready
        if self._keeper is not None and (self._keeper in ready or (speaks and not self.pid)):
            self._advance()  # a trainer may speak before its keeper has told its number
        return speaks

    def end(self) -> tuple[int, int | None]:
        """Ends it now, if it still lives: exit code or minus the signal, and its peak memory in units of the system's
        `ru_maxrss`; None: nobody knows."""
        if self._process is not None:
            # Popen.kill would first look whether it is dead already, and reap it without its usage
            os.kill(self._process.pid, signal.SIGKILL)
        return self.reap(kill=True)

    def reap(self, *, kill: bool = False) -> tuple[int, int | None]:
        """The same for one that ends by itself."""
        if self._process is not None:
            _, status, usage = os.wait4(self._process.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(status)  # Popen must not wait for it again
            return self._process.returncode, usage.ru_maxrss
        keeper, self._keeper = self._keeper, None
        assert keeper is not None
        with keeper:
            if self._theirs:  # nothing was promised yet
                self._close_theirs()
                return -signal.SIGKILL, None
            if kill:
                keeper.shutdown(socket.SHUT_WR)
            while packet := keeper.recv(ENDED.size):
                if len(packet) == ENDED.size:
                    code, peak = ENDED.unpack(packet)
                    return code, peak
        return -signal.SIGKILL, None  # its keeper was ended, and it with that

    def _ask_for_keeper(self) -> socket.socket | None:
        """Our end of a connection to a keeper that is to come; None: there is no fork server to ask."""
        if (descriptor := os.environ.get(TRAINERS_FD)) is None:
            return None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs, socket.socket(fileno=os.dup(int(descriptor))) as fork_server:
                socket.send_fds(fork_server, [b"+"], [theirs.fileno()], socket.MSG_DONTWAIT)
        except OSError:  # as many wishes as the socket holds lie there, and nobody reads them
            ours.close()
            return None
        return ours

    def _advance(self) -> None:
        """Takes the keeper's next packet: it is there, or it has forked the trainer."""
        assert self._keeper is not None
        packet = self._keeper.recv(ENDED.size)
        if packet == KEEPER_READY:
            words = json.dumps({"words": self._command[2:], "environment": self._environment}).encode()
            if len(words) > MOST_BYTES:
                self._exec()
                return
            try:
                socket.send_fds(self._keeper, [words], [*self._theirs, 2, *self._descriptors])
            except OSError:  # it died, or the words are more than the system's socket takes
                self._exec()
                return
            self._close_theirs()
        elif len(packet) == FORKED.size:
            (self.pid,) = FORKED.unpack(packet)
        elif self._theirs:
            self._exec()

    def _exec(self) -> None:
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None
        self._process = subprocess.Popen(
            self._command,
            stdin=self._theirs[0],
            stdout=self._theirs[1],
            env=self._environment,
            pass_fds=self._descriptors,
            start_new_session=True,  # a signal to the worker's group is the worker's, which passes it on itself
        )
        self.pid = self._process.pid
        self._close_theirs()

    def _close_theirs(self) -> None:
        for descriptor in self._theirs:
            os.close(descriptor)
        self._theirs = ()
