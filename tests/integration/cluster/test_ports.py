"""An allocated port is free, allocated once, and outside the range of outgoing connections."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.lab.stack.ports import MIN_PORT, RANGE_SIZE, NoFreePort, Ports, candidates, free_block, free_ports, is_free


def test_a_free_port_can_be_bound_for_tcp_and_udp() -> None:
    (port,) = free_ports(1)
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", port))
        udp.bind(("127.0.0.1", port))
        assert not is_free(port)
    assert is_free(port)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_in_use_by_either_protocol_is_not_free(kind: socket.SocketKind) -> None:
    (port,) = free_ports(1)
    with socket.socket(type=kind) as server:
        server.bind(("127.0.0.1", port))
        assert not is_free(port)


def test_no_port_is_allocated_twice() -> None:
    ports = [*free_ports(50), *free_block(100), *free_block(100), *free_ports(50)]
    assert len(set(ports)) == 300


def test_a_block_is_consecutive_and_free() -> None:
    block = free_block(20)
    assert len(block) == 20 and block[-1] - block[0] == 19
    assert all(is_free(port) for port in block)


def test_candidates_lie_below_the_ephemeral_ports(tmp_path: Path) -> None:
    kernel = tmp_path / "ip_local_port_range"
    kernel.write_text("32768\t60999\n")
    assert candidates(kernel) == range(MIN_PORT, 32_768)
    assert candidates(tmp_path / "missing") == range(MIN_PORT, 32_768)


def test_all_ports_are_candidates_if_the_ephemeral_range_covers_nearly_all(tmp_path: Path) -> None:
    kernel = tmp_path / "ip_local_port_range"
    kernel.write_text("1024\t65535\n")
    assert candidates(kernel) == range(MIN_PORT, 65_536)


def test_two_allocators_never_share_unbound_ports() -> None:
    pool = free_block(40)
    first, second = Ports(pool, range_size=20), Ports(pool, range_size=20)
    ports = [*first.block(10), *second.block(10), *first.block(10), *second.block(10)]
    assert sorted(ports) == list(pool)


def test_another_process_gets_different_ports() -> None:
    program = "from cluster.lab.stack.ports import free_ports; print(*free_ports(50))"
    own_ports = free_ports(50)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    other_ports = [int(port) for port in result.stdout.split()]
    assert len(set(other_ports)) == 50 and {port // RANGE_SIZE for port in own_ports}.isdisjoint(
        port // RANGE_SIZE for port in other_ports
    )


def test_the_ports_of_an_ended_process_are_allocated_again() -> None:
    pool = free_block(20)
    program = f"from cluster.lab.stack.ports import claim; assert claim(range({pool[0]}, {pool[-1] + 1}))"
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)
    assert Ports(pool, range_size=20).block(20) == pool


def test_free_ports_are_reused_when_all_were_allocated() -> None:
    ports = Ports(free_block(40), range_size=20)
    assert [len(ports.block(10)) for _ in range(6)] == [10] * 6


def test_more_ports_than_exist_raise_an_error() -> None:
    size = len(candidates()) + 1
    with pytest.raises(NoFreePort, match=f"No {size} consecutive free ports"):
        free_block(size)
