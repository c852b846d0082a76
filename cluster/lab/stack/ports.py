"""Find free ports that were not given out before, outside the kernel's range for outgoing connections."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence
from pathlib import Path

from routing.errors import RayroomError

# Ray gives 10002 to 19999 to its workers by itself.
LOWEST_PORT = 20_000
HIGHEST_PORT = 65_535
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
# The default of Linux; elsewhere the range starts higher.
_FIRST_EPHEMERAL = 32_768
_SHORTEST_RANGE = 4_000
# One run needs some four hundred ports, two hundred in a row twice.
STRETCH = 500


class NoFreePort(RayroomError):
    """There are not enough free ports on this machine."""

    code = "no_free_port"


class Ports:
    """Gives each port once, from ranges that no other process uses.

    Another process binds a port long after it was given. Until then the port looks free to every process that
    starts.
    """

    def __init__(self, ports: Sequence[int], stretch: int = STRETCH) -> None:
        self._all = ports
        self._others = [ports[start : start + stretch] for start in range(0, len(ports), stretch)]
        self._own: list[Sequence[int]] = []
        self._given: set[int] = set()
        random.shuffle(self._others)

    def block(self, size: int) -> range:
        """Return `size` consecutive ports free for TCP and UDP, none of them given before; raises NoFreePort."""
        block = self._search(size) or self._search_on(size)
        if block is None:
            # A port that was given long ago is bound by now, or free again.
            self._given.clear()
            block = self._search(size)
        if block is None:
            raise NoFreePort(f"No {size} consecutive free ports between {self._all[0]} and {self._all[-1]}.")
        self._given.update(block)
        return block

    def _search(self, size: int) -> range | None:
        found = (self._run(stretch, size) for stretch in self._own)
        return next((run for run in found if run is not None), None)

    def _search_on(self, size: int) -> range | None:
        """Reserve further ranges for this process until one of them has enough free ports."""
        for stretch in [one for one in self._others if size <= len(one)]:
            if claim(stretch):
                self._others.remove(stretch)
                self._own.append(stretch)
                if (run := self._run(stretch, size)) is not None:
                    return run
        return None

    def _run(self, stretch: Sequence[int], size: int) -> range | None:
        run: list[int] = []
        for port in stretch:
            run = [*run, port] if port not in self._given and is_free(port) else []
            if len(run) == size:
                return range(run[0], run[-1] + 1)
        return None


def claim(stretch: Sequence[int]) -> bool:
    """Reserve a range for this process until it ends; return False if another process, or this one, holds it."""
    # An abstract socket name is valid in the ports' network namespace and leaves no file behind.
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        holder.bind(f"\0rayroom-ports-{stretch[0]}-{stretch[-1]}")
    except OSError:
        holder.close()
        return False
    holder.detach()
    return True


def free_ports(count: int) -> list[int]:
    """Return `count` ports free for TCP and UDP, none of them given before; raises NoFreePort."""
    return [free_block(1)[0] for _ in range(count)]


def free_block(size: int) -> range:
    """Return `size` consecutive ports free for TCP and UDP, none of them given before; raises NoFreePort."""
    return _ports.block(size)


def candidates(ephemeral: Path = EPHEMERAL_RANGE) -> Sequence[int]:
    """Return the ports below the kernel's range for outgoing connections; all from 20000 if those are too few."""
    try:
        first = int(ephemeral.read_text("ascii").split()[0])
    except (OSError, ValueError, IndexError):
        first = _FIRST_EPHEMERAL
    if first - LOWEST_PORT < _SHORTEST_RANGE:
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


_ports = Ports(candidates())
