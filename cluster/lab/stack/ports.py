"""Allocate free ports, each once, outside the kernel's range for outgoing connections."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence
from pathlib import Path

from routing.errors import RayroomError

# Ray uses 10002 to 19999 for its workers.
MIN_PORT = 20_000
MAX_PORT = 65_535
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
# The default of Linux; elsewhere the range starts higher.
_FIRST_EPHEMERAL = 32_768
_MIN_RANGE = 4_000
# One run needs some four hundred ports, two hundred in a row twice.
RANGE_SIZE = 500


class NoFreePort(RayroomError):
    """There are not enough free ports on this machine."""

    code = "no_free_port"


class Ports:
    """Allocates each port once, from ranges that no other process uses.

    A process binds a port long after it was allocated. Until then the port looks free to every process that
    starts.
    """

    def __init__(self, ports: Sequence[int], range_size: int = RANGE_SIZE) -> None:
        self._all = ports
        self._unclaimed = [ports[start : start + range_size] for start in range(0, len(ports), range_size)]
        self._own: list[Sequence[int]] = []
        self._allocated: set[int] = set()
        random.shuffle(self._unclaimed)

    def block(self, size: int) -> range:
        """Return `size` consecutive ports free for TCP and UDP, none allocated before; raises NoFreePort."""
        block = self._search(size) or self._claim_more(size)
        if block is None:
            # A port that was allocated long ago is bound by now, or free again.
            self._allocated.clear()
            block = self._search(size)
        if block is None:
            raise NoFreePort(f"No {size} consecutive free ports between {self._all[0]} and {self._all[-1]}.")
        self._allocated.update(block)
        return block

    def _search(self, size: int) -> range | None:
        runs = (self._run(port_range, size) for port_range in self._own)
        return next((run for run in runs if run is not None), None)

    def _claim_more(self, size: int) -> range | None:
        """Reserve further ranges for this process until one of them has enough free ports."""
        for port_range in [port_range for port_range in self._unclaimed if size <= len(port_range)]:
            if claim(port_range):
                self._unclaimed.remove(port_range)
                self._own.append(port_range)
                if (run := self._run(port_range, size)) is not None:
                    return run
        return None

    def _run(self, port_range: Sequence[int], size: int) -> range | None:
        run: list[int] = []
        for port in port_range:
            run = [*run, port] if port not in self._allocated and is_free(port) else []
            if len(run) == size:
                return range(run[0], run[-1] + 1)
        return None


def claim(port_range: Sequence[int]) -> bool:
    """Reserve a range for this process until it ends; return False if another process, or this one, holds it."""
    # An abstract socket name is valid in the ports' network namespace and leaves no file behind.
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        holder.bind(f"\0rayroom-ports-{port_range[0]}-{port_range[-1]}")
    except OSError:
        holder.close()
        return False
    holder.detach()
    return True


def free_ports(count: int) -> list[int]:
    """Return `count` ports free for TCP and UDP, none allocated before; raises NoFreePort."""
    return [free_block(1)[0] for _ in range(count)]


def free_block(size: int) -> range:
    """Return `size` consecutive ports free for TCP and UDP, none allocated before; raises NoFreePort."""
    return _ports.block(size)


def candidates(ephemeral: Path = EPHEMERAL_RANGE) -> Sequence[int]:
    """Return the ports below the kernel's range for outgoing connections; all from 20000 if those are too few."""
    try:
        first = int(ephemeral.read_text("ascii").split()[0])
    except (OSError, ValueError, IndexError):
        first = _FIRST_EPHEMERAL
    if first - MIN_PORT < _MIN_RANGE:
        return range(MIN_PORT, MAX_PORT + 1)
    return range(MIN_PORT, first)


def is_free(port: int) -> bool:
    """Return whether TCP and UDP can be bound on every IPv4 address, including 127.0.0.1."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("", port))
            except OSError:
                return False
    return True


_ports = Ports(candidates())
