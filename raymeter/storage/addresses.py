"""Addresses of places: local or in a bucket, and how they are shown without keys."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

OPTIONS = (
    "endpoint_override",
    "region",
    "scheme",
    "allow_bucket_creation",
    "allow_bucket_deletion",
    "retry_limit_seconds",
)


def is_remote(location: str) -> bool:
    """Whether a location is an address and not a path."""
    return "://" in location


def without_keys(location: str) -> str:
    """The same location, if it holds no keys.

    Raises:
        ValueError: It does, or has options that no storage knows; the text shows none of them.
    """
    if not is_remote(location):
        return location
    parts = urlsplit(location)
    if "@" in parts.netloc or any(name not in OPTIONS for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        raise ValueError(
            f"an address has no keys and no options but {', '.join(OPTIONS)}; put keys into the environment "
            f"(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) of all nodes, got {parts.scheme}://..."
        )
    return location


def shown(location: str) -> str:
    """A location as messages and reports show it: without options."""
    return location.partition("?")[0] if is_remote(location) else location


def inside(location: str, path: str) -> str:
    """The location of something in a location; options stay at the end."""
    plain, mark, options = location.partition("?") if is_remote(location) else (location, "", "")
    return f"{plain.rstrip('/')}/{path}{mark}{options}"
