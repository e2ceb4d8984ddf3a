"""The network between the hosts: a bridge in the run's own namespace, and a cable to each host's."""

from __future__ import annotations

import subprocess

BRIDGE = "bridge0"
OUTSIDE = "10.90.0.1"
"""The address of the one who runs the test; the network exists in namespaces of the run only."""
_PREFIX = 24


def ip(*words: str) -> None:
    """Runs iproute2. Raises RuntimeError with what it said."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def make_bridge() -> None:
    """Once, in a network namespace that has nothing yet."""
    ip("link", "set", "lo", "up")
    ip("link", "add", BRIDGE, "type", "bridge")
    ip("address", "add", f"{OUTSIDE}/{_PREFIX}", "dev", BRIDGE)
    ip("link", "set", BRIDGE, "up")


def connect(name: str, address: str) -> None:
    """Makes the network namespace of a host and its cable."""
    ip("netns", "add", name)
    ip("link", "add", _port(name), "type", "veth", "peer", "name", "eth0", "netns", name)
    ip("link", "set", _port(name), "master", BRIDGE)
    ip("-netns", name, "address", "add", f"{address}/{_PREFIX}", "dev", "eth0")
    for device in ("lo", "eth0"):
        ip("-netns", name, "link", "set", device, "up")
    plug(name)


def pull(name: str) -> None:
    """Pulls the host's cable: nothing is answered and nothing refused any more."""
    ip("link", "set", _port(name), "down")


def plug(name: str) -> None:
    ip("link", "set", _port(name), "up")


def _port(name: str) -> str:
    return f"to-{name}"  # 15 characters at most
