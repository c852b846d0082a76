"""Decide which hosts and addresses the servers of tools may have."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from deployments.common.settings import ToolSettings
from routing.errors import ToolAddressRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

METADATA: frozenset[Address] = frozenset(
    map(ipaddress.ip_address, ("169.254.169.254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254"))
)
"""The metadata services of clouds (AWS, Azure, Google, Alibaba, Oracle): they hand out the credentials of a node."""
_EMBEDDING = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))
"""Translated and tunnelled addresses: each holds an IPv4 address, which a gateway may reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolHost:
    """The host of a tool's server that the operator allows, with its port."""

    name: str
    port: int
    internal: bool
    """Whether it is in the operator's own network: it may be reached without TLS and at private addresses."""


def allowed_host(url: str, settings: ToolSettings) -> ToolHost:
    """Return the host of a server's URL; raises ToolAddressRefused for one that the operator does not allow."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise ToolAddressRefused("The URL of the tool's server cannot be parsed.") from None
    name = (parts.hostname or "").rstrip(".").lower()
    internal = _matches(name, port, settings.internal_hosts)
    if not internal and not _matches(name, port, settings.hosts):
        raise ToolAddressRefused("The host of the tool's server is not in tools.hosts of the configuration.")
    if parts.scheme != "https" and not internal:
        raise ToolAddressRefused("The tool's server must be reached over https.")
    return ToolHost(name=name, port=port, internal=internal)


def checked_addresses(host: ToolHost, resolved: Iterable[str]) -> tuple[str, ...]:
    """Return a host's resolved addresses; raises ToolAddressRefused if one of them must not be reached.

    One forbidden address refuses all: a name that mixes them is misconfigured, or an attack.
    """
    addresses = tuple(dict.fromkeys(resolved))
    if not addresses:
        raise ToolAddressRefused("The host of the tool's server has no address.")
    for address in addresses:
        if not may_reach(address, internal=host.internal):
            raise ToolAddressRefused("The tool's server resolves to an address that must not be reached.")
    return addresses


def may_reach(address: str, *, internal: bool) -> bool:
    """Return whether an address may be connected to; metadata services and link-local addresses never may."""
    try:
        ip: Address = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif ip.scope_id is not None or any(ip in network for network in _EMBEDDING):
            return False
    if ip in METADATA or ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        return False
    return internal or ip.is_global


def _matches(name: str, port: int, patterns: Sequence[str]) -> bool:
    """Return whether a host is one of the patterns: `host`, `*.domain`, either with `:port`."""
    for pattern in patterns:
        host, _, wanted_port = pattern.lower().partition(":")
        if wanted_port and int(wanted_port) != port:
            continue
        if name == host or (host.startswith("*.") and name.endswith(host[1:]) and len(name) > len(host) - 1):
            return True
    return False
