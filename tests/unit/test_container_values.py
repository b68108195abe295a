"""
Values that fields of containers can have.
"""

from __future__ import annotations

import pytest

from flocker_py.container_values import (
    ValueUnusable,
    capabilities_complaint,
    capability,
    cpus_complaint,
    file_complaint,
    security_option,
    signal_name,
    user_complaint,
)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("SIGINT", "SIGINT"),
        ("int", "SIGINT"),
        ("2", "SIGINT"),
        (2, "SIGINT"),
        ("SIGRTMIN+3", "SIGRTMIN+3"),
        (37, "SIGRTMIN+3"),
        ("RTMAX-1", "SIGRTMAX-1"),
        (64, "SIGRTMAX"),
    ],
)
def test_signal(written: object, expected: str) -> None:
    """
    A signal has one name, however it is written.
    """
    assert signal_name(written) == expected


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("SIGNAL", "must be a signal"),
        ("", "must be a signal"),
        (0, "must be a signal"),
        ("0", "must be a signal"),
        (65, "must be a signal"),
        (True, "must be a signal"),
        (None, "must be a signal"),
        ("SIGSTOP", "ends nothing"),
        (18, "ends nothing"),
    ],
)
def test_no_signal(written: object, reason: str) -> None:
    """
    What is no signal, or can't end anything, is refused.
    """
    with pytest.raises(ValueUnusable, match=reason):
        signal_name(written)


@pytest.mark.parametrize(
    ("written", "expected"), [("NET_ADMIN", "NET_ADMIN"), ("cap_net_admin", "NET_ADMIN"), ("all", "ALL")]
)
def test_capability(written: str, expected: str) -> None:
    """
    A capability has one name, however it is written.
    """
    assert capability(written) == expected


@pytest.mark.parametrize(
    ("written", "reason"), [("NET_ADMN", "did you mean NET_ADMIN"), ("???", r"not '\?\?\?'$"), ("", "not ''$")]
)
def test_no_capability(written: str, reason: str) -> None:
    """
    What Linux doesn't have is refused, with what is close to it.
    """
    with pytest.raises(ValueUnusable, match=reason):
        capability(written)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("no-new-privileges", "no-new-privileges"),
        ("no-new-privileges:true", "no-new-privileges"),
        ("no-new-privileges=false", "no-new-privileges=false"),
        ("apparmor:unconfined", "apparmor=unconfined"),
        ("label=type:svirt_apache_t", "label=type:svirt_apache_t"),
        ("seccomp=unconfined", "seccomp=unconfined"),
    ],
)
def test_security_option(written: str, expected: str) -> None:
    """
    A security option has one spelling, however it is written.
    """
    assert security_option(written) == expected


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("no-new-privileges=maybe", "true or false"),
        ("privileged", "must be one of no-new-privileges, apparmor="),
        ("A B", "must be one of"),
        ("systempaths=unconfined", "must be one of"),
        ("apparmor", "apparmor needs a value"),
        ("apparmor=a b", "apparmor needs a value"),
        ("seccomp=/profile.json", "no file"),
    ],
)
def test_no_security_option(written: str, reason: str) -> None:
    """
    What no engine would take is refused.
    """
    with pytest.raises(ValueUnusable, match=reason):
        security_option(written)


@pytest.mark.parametrize("written", ["postgres", "999", "999:999", "www-data:www-data", "_apt", "0:0"])
def test_user(written: str) -> None:
    """
    A user is a name or number, and its group, too.
    """
    assert user_complaint(written) is None


@pytest.mark.parametrize("written", ["", "a b", "a:", ":a", "a:b:c", "-a", "2147483648", "a:2147483648"])
def test_no_user(written: str) -> None:
    """
    Anything else is not.
    """
    assert user_complaint(written) is not None


@pytest.mark.parametrize(
    ("cpus", "good"), [(0.01, True), (4096, True), (0, False), (4097, False), (float("nan"), False)]
)
def test_cpus(cpus: float, good: bool) -> None:
    """
    There are between a hundredth of a processor and more than there are.
    """
    assert (cpus_complaint(cpus) is None) == good


@pytest.mark.parametrize(
    ("path", "good"),
    [("/etc/db.env", True), ("db.env", False), ("/etc/", False), ("/etc/../a", False), ("/a\nb", False)],
)
def test_file(path: str, good: bool) -> None:
    """
    A file of a node is named by its absolute path.
    """
    assert (file_complaint(path) is None) == good


def test_capabilities_together() -> None:
    """
    A capability is added or dropped, not both.
    """
    found = (capabilities_complaint(["CHOWN"], ["ALL"]), capabilities_complaint(["CHOWN"], ["CHOWN"]))

    assert found == (None, "CHOWN can't be both added and dropped")
