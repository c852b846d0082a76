"""Finds ports nobody uses, where the kernel takes none for outgoing connections."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence
from pathlib import Path

from routing.errors import RayroomError

# Ray hands out 10002 to 19999 to its workers by itself.
LOWEST_PORT = 20_000
HIGHEST_PORT = 65_535
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
# What Linux has where it is not told otherwise; elsewhere it starts higher.
_FIRST_EPHEMERAL = 32_768
_SHORTEST_STRETCH = 4_000

# What this process was given: a port is not yet bound by the server it was asked for when the next one is asked for.
_given: set[int] = set()


class NoFreePort(RayroomError):
    """There are not enough free ports on this machine."""

    code = "no_free_port"


def free_ports(count: int) -> list[int]:
    """Return `count` ports free for TCP and UDP, none of them given before; raises NoFreePort."""
    return [free_block(1)[0] for _ in range(count)]


def free_block(size: int) -> range:
    """Return `size` consecutive ports free for TCP and UDP, none of them given before; raises NoFreePort."""
    ports = candidates()
    if (block := _search(ports, size)) is None:
        # What was given long ago is bound by now, or free again.
        _given.clear()
        block = _search(ports, size)
    if block is None:
        raise NoFreePort(f"No {size} consecutive free ports between {ports[0]} and {ports[-1]}.")
    _given.update(block)
    return block


def _search(ports: Sequence[int], size: int) -> range | None:
    """Go round once from a random start, and on until a run that began before its end is whole."""
    start = random.randrange(len(ports))
    run: list[int] = []
    for offset in range(len(ports) + size):
        port = ports[(start + offset) % len(ports)]
        follows = not run or port == run[-1] + 1
        run = [] if port in _given or not is_free(port) else [*run, port] if follows else [port]
        if len(run) == size:
            return range(run[0], run[-1] + 1)
    return None


def candidates(ephemeral: Path = EPHEMERAL_RANGE) -> Sequence[int]:
    """Return the ports below the kernel's range for outgoing connections; all from 20000 where that leaves too few."""
    try:
        first = int(ephemeral.read_text("ascii").split()[0])
    except (OSError, ValueError, IndexError):
        first = _FIRST_EPHEMERAL
    if first - LOWEST_PORT < _SHORTEST_STRETCH:
        return range(LOWEST_PORT, HIGHEST_PORT + 1)
    return range(LOWEST_PORT, first)


def is_free(port: int) -> bool:
    """Return whether TCP and UDP can be bound on every IPv4 address, and so on 127.0.0.1 too."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("", port))
            except OSError:
                return False
    return True
