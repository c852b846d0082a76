"""The hosts and addresses that the servers of tools may have."""

from __future__ import annotations

import pytest

from deployments.common.settings import ToolSettings
from deployments.tools.addresses import METADATA, allowed_host, checked_addresses, may_reach
from routing.errors import ToolAddressRefused

SETTINGS = ToolSettings(
    hosts=("tools.example.com", "*.shop.example", "ports.example:8443"), internal_hosts=("mcp.internal",)
)


@pytest.mark.parametrize(
    ("url", "host", "port", "internal"),
    [
        ("https://tools.example.com/mcp", "tools.example.com", 443, False),
        ("https://TOOLS.example.com./mcp", "tools.example.com", 443, False),
        ("https://tools.example.com:9000/mcp", "tools.example.com", 9000, False),
        ("https://eu.shop.example/", "eu.shop.example", 443, False),
        ("https://ports.example:8443/", "ports.example", 8443, False),
        ("http://mcp.internal/mcp", "mcp.internal", 80, True),
    ],
)
def test_a_host_of_the_configuration_is_allowed(url: str, host: str, port: int, internal: bool) -> None:
    allowed = allowed_host(url, SETTINGS)
    assert (allowed.name, allowed.port, allowed.internal) == (host, port, internal)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/",
        "https://tools.example.com.evil.net/",
        "https://eviltools.example.com/",
        "https://shop.example/",
        "https://.shop.example/",
        "https://evilshop.example/",
        "https://ports.example/",
        "http://tools.example.com/mcp",
        "ftp://tools.example.com/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://tools.example.com:99999/",
        "https:///path",
    ],
)
def test_any_other_host_or_scheme_is_refused(url: str) -> None:
    with pytest.raises(ToolAddressRefused):
        allowed_host(url, SETTINGS)


def test_without_configuration_no_host_is_allowed() -> None:
    with pytest.raises(ToolAddressRefused):
        allowed_host("https://tools.example.com/", ToolSettings())


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "169.254.170.2", "100.64.0.1"),
        *("0.0.0.0", "255.255.255.255", "224.0.0.1", "240.0.0.1", "192.0.0.192", "198.18.0.1", "100.100.100.200"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "fc00::1", "ff02::1", "::ffff:127.0.0.1"),
        *("::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::", "not an address", ""),
        "168.63.129.16",
    ],
)
def test_no_private_local_or_metadata_address_is_reached(address: str) -> None:
    assert not may_reach(address, internal=False)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"])
def test_a_public_address_is_reached(address: str) -> None:
    assert may_reach(address, internal=False) and may_reach(address, internal=True)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "::1", "fd12::1", "100.64.0.1"])
def test_a_host_of_the_own_network_may_have_a_private_address(address: str) -> None:
    assert may_reach(address, internal=True)


@pytest.mark.parametrize(
    "address", [*map(str, METADATA), "169.254.170.2", "fe80::1", "0.0.0.0", "::ffff:169.254.169.254"]
)
def test_metadata_and_link_local_addresses_are_never_reached(address: str) -> None:
    assert not may_reach(address, internal=True)


def test_one_forbidden_address_refuses_the_whole_host() -> None:
    host = allowed_host("https://tools.example.com/", SETTINGS)
    assert checked_addresses(host, ["93.184.216.34", "93.184.216.34"]) == ("93.184.216.34",)
    for resolved in (["93.184.216.34", "10.0.0.1"], []):
        with pytest.raises(ToolAddressRefused):
            checked_addresses(host, resolved)
