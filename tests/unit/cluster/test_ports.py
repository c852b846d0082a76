"""A port that is given is free, is given once, and is not taken by an outgoing connection."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from cluster.demo.ports import LOWEST_PORT, NoFreePort, candidates, free_block, free_ports, is_free


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


def test_a_process_that_was_given_all_ports_is_given_those_that_are_free_again() -> None:
    size = len(candidates()) // 5
    assert [len(free_block(size)) for _ in range(6)] == [size] * 6


def test_more_ports_than_there_are_is_an_error_that_says_so() -> None:
    size = len(candidates()) + 1
    with pytest.raises(NoFreePort, match=f"No {size} consecutive free ports"):
        free_block(size)
