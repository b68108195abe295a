# ruff: noqa: E501
"""
Where a tool looks for the control service.
"""

from __future__ import annotations

import click
import pytest

from flocker_admin.connecting import ControlAddress, control_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("ctl.example", "ctl.example", 4523),
        ("ctl.example:99", "ctl.example", 99),
        ("192.0.2.1", "192.0.2.1", 4523),
        ("192.0.2.1:99", "192.0.2.1", 99),
        ("2001:DB8::1", "2001:db8::1", 4523),
        ("[2001:db8::1]", "2001:db8::1", 4523),
        ("[2001:db8::1]:99", "2001:db8::1", 99),
    ],
)
def test_address(text: str, host: str, port: int) -> None:
    """
    A host may have a port; an IPv6 address with a port needs brackets.
    """
    assert control_address(text) == ControlAddress(host=host, port=port)


@pytest.mark.parametrize(
    "text",
    ["", ":99", "a:", "a:0", "a:65536", "a:9999999999", "a:b", "a:1:2", "https://a", "a b", "[a]:1", "[::1", "[::1]x", "u@a"],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    """
    What isn't a host with perhaps a port is refused.
    """
    with pytest.raises(click.BadParameter, match="is not HOST or HOST:PORT"):
        control_address(text)
