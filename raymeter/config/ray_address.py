"""What the address of a Ray cluster looks like, and what people give in its place."""

from __future__ import annotations

from urllib.parse import urlsplit

FOUND_BY_RAY = ("auto", "local")
CLIENT = "ray://"  # before the address of a Ray Client server
FORM = "must be host:port of a cluster's head, such as 10.0.0.5:6379, got"


def address_problem(address: str) -> str:
    """Why a text is no address of a Ray cluster, with the way out; empty where it may be one.

    An address is `auto`, `local`, host:port, or ray://host:port of a Ray Client server. Names and passwords in it are
    not repeated.
    """
    if address in FOUND_BY_RAY:
        return ""
    scheme = urlsplit(address).scheme if "://" in address else ""
    if scheme in ("http", "https"):
        return f"{FORM} {scheme}://..., where jobs are submitted (ray job submit --address) and no audit connects"
    if scheme not in ("", "ray"):
        return f"{FORM} {scheme}://..."
    address = address.removeprefix(CLIENT)
    host, colon, port = _divided(address)
    shown = address.rpartition("@")[2][:80]
    if not colon or not port:
        return f"{FORM} {shown!r}, which has no port"
    if not host or "@" in address or any(letter.isspace() or letter == "/" for letter in host):
        return f"{FORM} {shown!r}"
    if not (port.isascii() and port.isdecimal() and 0 < int(port[:9]) < 2**16):
        return f"{FORM} {shown!r}, whose port is not between 1 and 65535"
    return ""


def host_and_port(address: str) -> tuple[str, int]:
    """The two parts of an address that `address_problem` has nothing against."""
    host, _, port = _divided(address.removeprefix(CLIENT))
    return host.removeprefix("[").removesuffix("]"), int(port)


def _divided(address: str) -> tuple[str, str, str]:
    """Host, colon and port; an IPv6 address without brackets has none of its colons taken for the port's."""
    if address.endswith("]") or (address.count(":") > 1 and not address.startswith("[")):
        return address, "", ""
    return address.rpartition(":") if ":" in address else (address, "", "")
