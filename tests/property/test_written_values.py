"""
Names of images and ports, written in any way.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flocker_py.container_values import ValueUnusable, capability, security_option, signal_name
from flocker_py.images import ImageUnreadable, image_complaint, image_reference
from flocker_py.model import Port
from flocker_py.published_ports import PortsUnreadable, clashing, excludes, port_text, published_ports

near_images = st.text(alphabet="aB0.:/@_-[]sh256", max_size=24)
near_ports = st.text(alphabet="0189:-[]./tcpud", max_size=24)
addresses = st.sampled_from([None, "127.0.0.1", "192.0.2.1", "::1", "0.0.0.0", "::"])  # noqa: S104  # nothing is bound
numbers = st.integers(1, 65535)
ports = st.builds(
    Port, internal=numbers, external=numbers, protocol=st.sampled_from(["tcp", "udp"]), host_address=addresses
)


@given(written=near_images | st.text())
def test_image(written: str) -> None:
    """
    A name is read so that its parts make it again, or it is refused by both functions.
    """
    if image_complaint(written) is None:
        assert image_reference(written).text == written
    else:
        with pytest.raises(ImageUnreadable):
            image_reference(written)


@given(written=near_ports | st.text())
def test_ports(written: str) -> None:
    """
    Any text is ports or is refused.
    """
    try:
        found = published_ports(written)
    except PortsUnreadable as error:
        assert str(error)
    else:
        assert found


@given(port=ports)
def test_port_as_it_is_called(port: Port) -> None:
    """
    A port is read from what it is called, with its internal number.
    """
    where, _, protocol = port_text(port).rpartition("/")

    assert published_ports(f"{where}:{port.internal}/{protocol}") == [port]


@given(one=ports, other=ports)
def test_exclusion(one: Port, other: Port) -> None:
    """
    Ports exclude one another in both directions, a port excludes itself, and clashing says the same.
    """
    assert excludes(one, other) == excludes(other, one) == bool(clashing([one], [other]))
    assert excludes(one, one)


@given(written=st.text())
def test_spellings_are_fixed(written: str) -> None:
    """
    The one spelling of a value is read as itself.
    """
    for spelling in (signal_name, capability, security_option):
        try:
            found = spelling(written)
        except ValueUnusable:
            continue
        assert spelling(found) == found
