"""Addresses of a cluster: what can be one, and a way out for what people give in its place."""

from __future__ import annotations

import pytest

from raymeter.config.load import build_config
from raymeter.config.ray_address import address_problem, host_and_port
from raymeter.errors import ConfigError


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("10.0.0.5:6379", ("10.0.0.5", 6379)),
        ("head:65535", ("head", 65535)),
        ("[::1]:6379", ("::1", 6379)),
        ("auto", None),
        ("local", None),
        ("ray://head:10001", ("head", 10001)),
    ],
)
def test_addresses_of_ray_are_taken(address, parts):
    """By number, by name, of IPv6, and what Ray itself looks up."""
    assert address_problem(address) == ""
    assert build_config({"run": {"log_dir": "x"}, "cluster": {"address": address}}).cluster.address == address
    if parts:
        assert host_and_port(address) == parts


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        (
            "http://127.0.0.1:8265",
            "http://..., where jobs are submitted (ray job submit --address) and no audit connects",
        ),
        ("https://me:secret@head/ray", "https://..., where jobs are submitted"),
        ("redis://:secret@head:6379", "redis://..."),
        ("ray://head", "'head', which has no port"),
        ("ray://auto", "'auto', which has no port"),
        ("10.0.0.5", "'10.0.0.5', which has no port"),
        ("head:", "'head:', which has no port"),
        ("::1", "'::1', which has no port"),
        ("[::1]", "'[::1]', which has no port"),
        ("", "'', which has no port"),
        (":6379", "':6379'"),
        ("me:secret@head:6379", "'head:6379'"),
        ("secret@head:6379", "'head:6379'"),
        ("head node:6379", "'head node:6379'"),
        ("head:6379/x", "'head:6379/x', whose port is not between 1 and 65535"),
        ("head:65536", "'head:65536', whose port is not between"),
        ("head:0", "'head:0', whose port is not"),
        ("head:6e3", "'head:6e3', whose port is not"),
    ],
)
def test_other_texts_are_refused_with_a_way_out(address, problem):
    """Before anything starts, in a dry run too, and without repeating a password."""
    expected = f"must be host:port of a cluster's head, such as 10.0.0.5:6379, got {problem}"
    assert address_problem(address).startswith(expected)
    with pytest.raises(ConfigError) as error:
        build_config({"run": {"log_dir": "x"}, "cluster": {"address": address}})
    assert str(error.value).startswith(f"cluster.address: {expected}")
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)
