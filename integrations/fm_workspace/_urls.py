"""Addresses that a workspace may send prompts and credentials to."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from fm_client import is_loopback

from ._errors import invalid_parameter


def checked(url: object, field: str, *, plain_http: bool = False) -> str:
    """`url` without a slash at its end; 400 unless it is https, or http to this machine (anywhere, if `plain_http`)."""
    failure = invalid_parameter(
        f"{field} must be an https address without user, query or fragment (http only for this machine)."
    )
    if not isinstance(url, str) or any(character.isspace() or not character.isprintable() for character in url):
        raise failure
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as exc:
        raise failure from exc
    if _is_odd_number(host or ""):
        raise failure
    secure = parts.scheme == "https" or (parts.scheme == "http" and (plain_http or is_loopback(host or "")))
    if not host or not secure or parts.username is not None or parts.query or parts.fragment:
        raise failure
    return url.rstrip("/")


LOOPBACK_NETWORKS = ("127.0.0.0/8", "::1/128")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_GATEWAYS = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses that stand for IPv4 ones (NAT64), private ones included."""


class Reach:
    """The addresses that providers may have: all public ones, and those in `networks` (CIDR).

    It is asked about the address that is then connected to. A name that answers differently the second time it is
    looked up, to get past a check (DNS rebinding), gains nothing.

    >>> Reach(("10.1.0.0/16",)).permits("10.1.2.3"), Reach().permits("169.254.169.254")
    (True, False)
    """

    def __init__(self, networks: Sequence[str] = LOOPBACK_NETWORKS) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]

    def permits(self, address: str) -> bool:
        """Whether a connection to an IP address is allowed."""
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False  # with a zone, such as fe80::1%eth0: an address of the local link
        return any(found in network for network in self._networks) or _is_public(found)


def _is_public(address: Address) -> bool:
    if not address.is_global or address.is_multicast:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        tunnelled = address.ipv4_mapped or address.sixtofour or address.teredo
        return not tunnelled and address not in _GATEWAYS
    return True


def _is_odd_number(host: str) -> bool:
    """Whether a host is a number in a spelling that resolvers take for an address: 2130706433, 0x7f.1, 127.1."""
    if ":" in host:
        return False
    last = host.rstrip(".").rpartition(".")[2]
    if not (last.isdigit() or last.startswith("0x")):
        return False
    try:
        return str(ipaddress.IPv4Address(host)) != host
    except ValueError:
        return True
