# ruff: noqa: E501
"""
Where a tool looks for the control service.
"""

from __future__ import annotations

import pytest

from flocker_py.client.addresses import AddressUnreadable, ControlAddress, control_address, control_addresses


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
    with pytest.raises(AddressUnreadable, match="is not HOST or HOST:PORT"):
        control_address(text)


@pytest.mark.parametrize(
    "given",
    ["a,b:99", ["a", "b:99"], ["a,b:99", "a"], [ControlAddress(host="a"), ControlAddress(host="b", port=99)]],
)
def test_several_addresses(given: str | list[str | ControlAddress]) -> None:
    """
    Several addresses are a list, or a text with commas; each is there once, in their order.
    """
    assert control_addresses(given) == (ControlAddress(host="a"), ControlAddress(host="b", port=99))


def test_one_address() -> None:
    """
    One address needs no list.
    """
    assert control_addresses(ControlAddress(host="a")) == (ControlAddress(host="a"),)


def test_no_address() -> None:
    """
    No address at all is refused.
    """
    with pytest.raises(AddressUnreadable, match="no address is given"):
        control_addresses([])


@pytest.mark.parametrize(("host", "text"), [("ctl.example", "ctl.example:4523"), ("2001:db8::1", "[2001:db8::1]:4523")])
def test_text(host: str, text: str) -> None:
    """
    An address is shown as it stands in a URL.
    """
    assert ControlAddress(host=host).text == text
