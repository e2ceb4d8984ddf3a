"""A connection between two processes that a test can hold up or cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

Address = Path | tuple[str, int]


def _socket(address: Address) -> socket.socket:
    return socket.socket(socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET)


class Proxy:
    """Stands between a client and a server, each at a Unix socket's path or at host and port.

    Attributes:
        address: where it listens; `("127.0.0.1", 0)` becomes the port that it got.
    """

    def __init__(self, listen: Address, target: Address) -> None:
        self._target = target
        self._listening = _socket(listen)
        self._listening.bind(str(listen) if isinstance(listen, Path) else listen)
        self._listening.listen()
        self.address: Address = listen if isinstance(listen, Path) else self._listening.getsockname()
        self._frozen = threading.Event()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        """The connections that exist stay open and carry nothing, as when the other host is gone; new ones work."""
        self._frozen.set()
        self._frozen = threading.Event()

    def cut(self) -> None:
        """Ends the connections that exist; new ones work."""
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # the thread that accepts would keep it open
        self._listening.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            far = _socket(self._target)
            far.connect(str(self._target) if isinstance(self._target, Path) else self._target)
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink, self._frozen), daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket, frozen: threading.Event) -> None:
        with source, contextlib.suppress(OSError):  # either end may be closed already
            while data := source.recv(65536):
                if frozen.is_set():
                    threading.Event().wait()
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)
