"""
agent.yml: what it may say, and what is said about what it may not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyrsistent import pmap

from flocker_agent.settings import MAXIMUM_FILE_BYTES, SettingsRefused, read_settings

FLOCKERS_OWN = """\
"version": 1
"control-service":
   "hostname": "user.controlserver.example.com"
   "port": 4524
"dataset":
  "backend": "zfs"
  "pool": "flocker"
"""
EVERYTHING = """\
version: 1
control-service: {hostname: control}
dataset: {backend: directory, root_path: /pool}
logging: {version: 1}
runtime: {backend: process, log_bytes: 4096}
transfer:
  {address: "192.0.2.1", port: 0, maximum_transfers: 2, maximum_rate: 100M,
   advertised_address: "192.0.2.9", advertised_port: 14525}
forwarding: {enabled: true}
state_path: /state
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent.yml"


def refusal(path: Path, text: str | bytes) -> str:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(SettingsRefused) as caught:
        read_settings(path)
    return str(caught.value)


def test_flockers_own(path: Path) -> None:
    """
    The ancestor's file is read as it is, and what is ours has its defaults.
    """
    path.write_text(FLOCKERS_OWN)
    settings = read_settings(path)

    assert (settings.control_host, settings.control_port) == ("user.controlserver.example.com", 4524)
    assert (settings.backend, settings.backend_settings) == ("zfs", pmap({"pool": "flocker"}))
    assert (settings.runtime, settings.transfer_port, settings.maximum_transfers) == ("process", 4525, 4)
    assert (settings.address, settings.maximum_bytes_per_second, settings.logging) == ("", None, None)
    assert (settings.advertised_address, settings.advertised_port) == ("", None)
    assert (settings.state_path, settings.forwarding) == ("/var/lib/flocker", False)


def test_everything(path: Path) -> None:
    """
    All that is ours is read.
    """
    path.write_text(EVERYTHING)
    settings = read_settings(path)

    assert (settings.control_port, settings.logging) == (4524, pmap({"version": 1}))
    assert (settings.runtime, settings.runtime_settings) == ("process", pmap({"log_bytes": 4096}))
    assert (settings.address, settings.transfer_port, settings.maximum_transfers) == ("192.0.2.1", 0, 2)
    assert (settings.maximum_bytes_per_second, settings.state_path) == (100 * 2**20, "/state")
    assert (settings.advertised_address, settings.advertised_port) == ("192.0.2.9", 14525)
    assert settings.forwarding


def test_advertised_where_it_listens(path: Path) -> None:
    """
    Others are told the address at which the agent listens, unless another is given.
    """
    path.write_text(EVERYTHING.replace('advertised_address: "192.0.2.9", ', ""))

    assert read_settings(path).advertised_address == "192.0.2.1"


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("version: 1\n", "", "version must be 1, not None"),
        ("version: 1\n", "version: true\n", "version must be 1, not True"),
        ("version: 1\n", "version: 1\nextra: 2\n", "extra is not a key of agent.yml (there are control-service"),
        ("version: 1\n", "version: 1\n7: 2\n", "7 is not a key of agent.yml"),
        ("version: 1\n", "version: 1\nversion: 1\n", "version is given twice"),
        ("{hostname: control}", "{hostname: control, port: 0}", "control-service: port must be a whole number from 1"),
        ("{hostname: control}", "{hostname: control, port: x}", "control-service: port must be a whole number from 1"),
        ("{hostname: control}", "{hostname: control, port: true}", "not True"),
        ("{hostname: control}", "{hostname: 7}", "control-service: hostname must be text, not 7"),
        ("{hostname: control}", "{hostname: ''}", "control-service: hostname must be text, not ''"),
        ("{hostname: control}", "{}", "control-service: hostname is missing"),
        ("{hostname: control}", "{hostname: a, user: b}", "control-service: user is not a key of agent.yml"),
        ("{hostname: control}", "control", "control-service must be a mapping"),
        ("{hostname: control}", "{7: control}", "control-service must be a mapping"),
        ("{hostname: control}", "", "control-service is missing"),
        ("{backend: directory, root_path: /pool}", "", "dataset is missing"),
        ("{backend: directory, root_path: /pool}", "{}", "dataset: backend is missing"),
        ("{version: 1}", "[1]", "logging must be a mapping"),
        ("192.0.2.1", "host1", "transfer: address must be an IP address, not 'host1'"),
        ("192.0.2.9", "nat", "transfer: advertised_address must be an IP address, not 'nat'"),
        ("14525", "0", "transfer: advertised_port must be a whole number from 1 to 65535, not 0"),
        ("14525", "null", "transfer: advertised_port must be a whole number from 1 to 65535, not None"),
        ("enabled: true", "enabled: 1", "forwarding: enabled must be true or false, not 1"),
        ("enabled: true", "ports: 1", "forwarding: ports is not a key of agent.yml (there are enabled)"),
        ("maximum_transfers: 2", "maximum_transfers: 0", "transfer: maximum_transfers must be a whole number from 1"),
        ("maximum_rate: 100M", "maximum_rate: fast", "transfer: maximum_rate: 'fast'"),
        ("maximum_rate: 100M", "maximum_rate: [1]", "transfer: maximum_rate: '[1]'"),
        ("maximum_rate: 100M", "maximal_rate: 1", "transfer: maximal_rate is not a key of agent.yml"),
        ("state_path: /state", "state_path: state", "state_path must be an absolute path, not 'state'"),
        ("state_path: /state", "state_path: 7", "state_path must be text, not 7"),
    ],
)
def test_refused(path: Path, before: str, after: str, complaint: str) -> None:
    """
    What is missing, wrong or unknown is named.
    """
    assert EVERYTHING.count(before) == 1
    assert complaint in refusal(path, EVERYTHING.replace(before, after))


def test_all_at_once(path: Path) -> None:
    """
    Every mistake is told, not just the first.
    """
    text = refusal(path, "version: 2\ndataset: {}\nextra: 1\n")

    assert all(words in text for words in ("version must", "backend is missing", "extra is not", "control-service is"))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- a", "the file is not a mapping"),
        ("", "the file is not a mapping"),
        ("a: [", "is not YAML"),
        (b"\xff\xfe", "is not YAML"),
        ("!!python/object/apply:os.system [ls]", "is not YAML"),
        ("? [a]\n: b", "is not YAML"),
        ("[" * 100_000, "is nested too deeply"),
        (b"#" * (MAXIMUM_FILE_BYTES + 1), f"is longer than {MAXIMUM_FILE_BYTES} bytes"),
    ],
)
def test_no_settings_at_all(path: Path, text: str | bytes, complaint: str) -> None:
    """
    What is no YAML, or no mapping, or too long to be settings, is refused.
    """
    assert complaint in refusal(path, text)


def test_no_file(path: Path) -> None:
    """
    A file that isn't there is named.
    """
    with pytest.raises(SettingsRefused, match=r"agent\.yml: No such file"):
        read_settings(path)


def test_the_path_is_named(path: Path) -> None:
    """
    A refusal names the file.
    """
    settings: Any = refusal(path, "version: 2")

    assert settings.startswith(f"{path}: ")
