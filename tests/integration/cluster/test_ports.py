"""A port that is given is free, is given once, and is not taken by an outgoing connection."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.lab.stack.ports import LOWEST_PORT, STRETCH, NoFreePort, Ports, candidates, free_block, free_ports, is_free


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


def test_no_port_is_given_twice() -> None:
    ports = [*free_ports(50), *free_block(100), *free_block(100), *free_ports(50)]
    assert len(set(ports)) == 300


def test_a_block_is_a_run_of_free_ports() -> None:
    block = free_block(20)
    assert len(block) == 20 and block[-1] - block[0] == 19
    assert all(is_free(port) for port in block)


def test_ports_lie_below_those_of_outgoing_connections(tmp_path: Path) -> None:
    kernel = tmp_path / "ip_local_port_range"
    kernel.write_text("32768\t60999\n")
    assert candidates(kernel) == range(LOWEST_PORT, 32_768)
    assert candidates(tmp_path / "missing") == range(LOWEST_PORT, 32_768)


def test_a_kernel_that_takes_nearly_all_ports_leaves_them_all_to_choose_from(tmp_path: Path) -> None:
    kernel = tmp_path / "ip_local_port_range"
    kernel.write_text("1024\t65535\n")
    assert candidates(kernel) == range(LOWEST_PORT, 65_536)


def test_two_who_start_at_once_are_given_different_ports_though_none_is_bound() -> None:
    among = free_block(40)
    first, second = Ports(among, stretch=20), Ports(among, stretch=20)
    given = [*first.block(10), *second.block(10), *first.block(10), *second.block(10)]
    assert sorted(given) == list(among)


def test_another_process_is_given_none_of_the_ports_of_this_one() -> None:
    ask = "from cluster.lab.stack.ports import free_ports; print(*free_ports(50))"
    mine = free_ports(50)
    told = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=60, check=True)
    theirs = [int(port) for port in told.stdout.split()]
    assert len(set(theirs)) == 50 and {port // STRETCH for port in mine}.isdisjoint(port // STRETCH for port in theirs)


def test_what_a_process_held_is_given_to_others_once_it_has_ended() -> None:
    among = free_block(20)
    taken = f"from cluster.lab.stack.ports import claim; assert claim(range({among[0]}, {among[-1] + 1}))"
    subprocess.run([sys.executable, "-c", taken], timeout=60, check=True)
    assert Ports(among, stretch=20).block(20) == among


def test_who_was_given_all_ports_is_given_those_that_are_free_again() -> None:
    ports = Ports(free_block(40), stretch=20)
    assert [len(ports.block(10)) for _ in range(6)] == [10] * 6


def test_more_ports_than_there_are_is_an_error_that_says_so() -> None:
    size = len(candidates()) + 1
    with pytest.raises(NoFreePort, match=f"No {size} consecutive free ports"):
        free_block(size)
