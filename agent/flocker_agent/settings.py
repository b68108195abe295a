"""
``agent.yml``: the ancestor's file, with keys of our own; what we don't know is refused.

=====================  ==========================================================================================
key                    what it holds
=====================  ==========================================================================================
``version``            1
``control-service``    ``hostname``, ``port`` (4524)
``dataset``            ``backend``, and what that backend needs
``logging``            optional: as for Python's ``logging.config.dictConfig``
``runtime``            ours, optional: ``backend`` (``process``), and what it needs
``transfer``           ours, optional: ``address``, ``port`` (4525), ``maximum_transfers`` (4),
                       ``maximum_rate`` (bytes a second, such as ``100M``; without it, no limit),
                       ``advertised_address`` and ``advertised_port`` (``address`` and ``port``)
``forwarding``         ours, optional: ``enabled`` (false): lead ports of containers on other nodes there
``state_path``         ours, optional: where the agent keeps what is its own (``/var/lib/flocker``)
=====================  ==========================================================================================
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pyrsistent import PMap, pmap

from flocker_py.errors import FlockerError
from flocker_py.records import Record, mapping, value
from flocker_py.units import SizeUnreadable, size_bytes

_NONE = type(None)
MAXIMUM_FILE_BYTES = 1024 * 1024


class SettingsRefused(FlockerError):
    """
    agent.yml can't be used as it is. Correct what the message names, and start the agent again.
    """

    lasting = True


class _Loader(yaml.SafeLoader):
    """
    Refuses a key that is given twice, of which YAML would silently take the last.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        given: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in given:
                raise yaml.constructor.ConstructorError(None, None, f"{name} is given twice", key.start_mark)
            given.add(name)
        result: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return result


class Settings(Record):
    """
    What ``agent.yml`` says.

    :param backend: of the storage; ``backend_settings``: what it needs.
    :param address: at which the agent listens for others; empty: all that it has.
    :param advertised_address: at which other agents reach this one; empty: the one that leads to the control service.
    :param forwarding: ports that containers on other nodes publish are led there.
    :param advertised_port: and there, at which port; None: the one where it listens.
    """

    control_host: str = value(str)
    control_port: int = value(int, default=4524)
    backend: str = value(str)
    backend_settings: PMap[str, Any] = mapping(str, object, default={})
    runtime: str = value(str, default="process")
    runtime_settings: PMap[str, Any] = mapping(str, object, default={})
    address: str = value(str, default="")
    transfer_port: int = value(int, default=4525)
    advertised_address: str = value(str, default="")
    advertised_port: int | None = value((int, _NONE), default=None)
    maximum_transfers: int = value(int, default=4)
    maximum_bytes_per_second: int | None = value((int, _NONE), default=None)
    forwarding: bool = value(bool, default=False)
    state_path: str = value(str, default="/var/lib/flocker")
    logging: PMap[str, Any] | None = value((PMap, _NONE), default=None)


def read_settings(path: Path) -> Settings:
    """
    Read ``agent.yml``.

    :raises SettingsRefused: it can't be read, or something in it is missing, wrong or unknown; all of it is named.
    """
    try:
        if path.stat().st_size > MAXIMUM_FILE_BYTES:
            raise SettingsRefused(f"{path} is longer than {MAXIMUM_FILE_BYTES} bytes")
        data = yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506  # a safe loader
    except OSError as error:
        raise SettingsRefused(f"{path}: {error.strerror}") from error
    except RecursionError as error:
        raise SettingsRefused(f"{path} is nested too deeply") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsRefused(f"{path} is not YAML: {error}") from error
    complaints: list[str] = []
    result = _settings(data, complaints)
    if complaints or result is None:
        raise SettingsRefused(f"{path}: {'; '.join(complaints)}")
    return result


def _settings(data: object, complaints: list[str]) -> Settings | None:
    if not isinstance(data, Mapping):
        complaints.append("the file is not a mapping")
        return None
    _unknown(
        data,
        {"version", "control-service", "dataset", "logging", "runtime", "transfer", "forwarding", "state_path"},
        "",
        complaints,
    )
    if data.get("version") != 1 or isinstance(data.get("version"), bool):
        complaints.append(f"version must be 1, not {data.get('version')!r}")
    control = _section(data, "control-service", complaints, required=True)
    dataset = _section(data, "dataset", complaints, required=True)
    runtime = _section(data, "runtime", complaints)
    transfer = _section(data, "transfer", complaints)
    _unknown(control, {"hostname", "port"}, "control-service: ", complaints)
    _unknown(
        transfer,
        {"address", "port", "maximum_transfers", "maximum_rate", "advertised_address", "advertised_port"},
        "transfer: ",
        complaints,
    )
    forwarding = _section(data, "forwarding", complaints)
    _unknown(forwarding, {"enabled"}, "forwarding: ", complaints)
    address = _address(transfer, "address", complaints)
    python_logging = data.get("logging")
    if python_logging is not None and not isinstance(python_logging, Mapping):
        complaints.append("logging must be a mapping")
        python_logging = None
    settings: dict[str, Any] = {
        "control_host": _text(control, "hostname", "control-service: ", complaints),
        "control_port": _number(control, "port", "control-service: ", complaints, default=4524, highest=65535),
        "backend": _text(dataset, "backend", "dataset: ", complaints),
        "backend_settings": pmap({k: v for k, v in dataset.items() if k != "backend"}),
        "runtime": _text(runtime, "backend", "runtime: ", complaints, "process"),
        "runtime_settings": pmap({k: v for k, v in runtime.items() if k != "backend"}),
        "address": address,
        "transfer_port": _number(transfer, "port", "transfer: ", complaints, default=4525, highest=65535, lowest=0),
        "advertised_address": _address(transfer, "advertised_address", complaints) or address,
        "advertised_port": _advertised_port(transfer, complaints),
        "maximum_transfers": _number(transfer, "maximum_transfers", "transfer: ", complaints, default=4, highest=1000),
        "maximum_bytes_per_second": _rate(transfer, complaints),
        "forwarding": _flag(forwarding, "enabled", "forwarding: ", complaints),
        "state_path": _absolute(data, "state_path", complaints, "/var/lib/flocker"),
        "logging": None if python_logging is None else pmap(python_logging),
    }
    return None if complaints else Settings(**settings)


def _unknown(section: Mapping[Any, object], known: set[str], where: str, complaints: list[str]) -> None:
    complaints += [
        f"{where}{key} is not a key of agent.yml (there are {', '.join(sorted(known))})"
        for key in section
        if key not in known
    ]


def _section(
    data: Mapping[Any, object], name: str, complaints: list[str], *, required: bool = False
) -> Mapping[str, Any]:
    section = data.get(name)
    if section is None:
        if required:
            complaints.append(f"{name} is missing")
        return {}
    if not isinstance(section, Mapping) or not all(isinstance(key, str) for key in section):
        complaints.append(f"{name} must be a mapping")
        return {}
    return section


def _text(
    section: Mapping[Any, object], key: str, where: str, complaints: list[str], default: str | None = None
) -> str:
    text = section.get(key, default)
    if not isinstance(text, str) or not text:
        complaints.append(f"{where}{key} is missing" if text is None else f"{where}{key} must be text, not {text!r}")
        return ""
    return text


def _absolute(section: Mapping[Any, object], key: str, complaints: list[str], default: str) -> str:
    text = _text(section, key, "", complaints, default)
    if text and not Path(text).is_absolute():
        complaints.append(f"{key} must be an absolute path, not {text!r}")
    return text


def _number(
    section: Mapping[str, object],
    key: str,
    where: str,
    complaints: list[str],
    *,
    default: int,
    highest: int,
    lowest: int = 1,
) -> int:
    number = section.get(key, default)
    if isinstance(number, bool) or not isinstance(number, int) or not lowest <= number <= highest:
        complaints.append(f"{where}{key} must be a whole number from {lowest} to {highest}, not {number!r}")
        return default
    return number


def _flag(section: Mapping[str, object], key: str, where: str, complaints: list[str]) -> bool:
    flag = section.get(key, False)
    if not isinstance(flag, bool):
        complaints.append(f"{where}{key} must be true or false, not {flag!r}")
        return False
    return flag


def _advertised_port(transfer: Mapping[str, object], complaints: list[str]) -> int | None:
    if "advertised_port" not in transfer:
        return None
    return _number(transfer, "advertised_port", "transfer: ", complaints, default=1, highest=65535)


def _address(transfer: Mapping[str, object], key: str, complaints: list[str]) -> str:
    text = transfer.get(key, "")
    if text == "":
        return ""
    try:
        return str(ipaddress.ip_address(str(text)))
    except ValueError:
        complaints.append(f"transfer: {key} must be an IP address, not {text!r}")
        return ""


def _rate(transfer: Mapping[str, object], complaints: list[str]) -> int | None:
    rate = transfer.get("maximum_rate")
    if rate is None:
        return None
    try:
        bytes_per_second = size_bytes(rate if isinstance(rate, (str, int)) else str(rate))
        if bytes_per_second <= 0:
            complaints.append(f"transfer: maximum_rate must be more than 0, not {rate!r}; leave it out for no limit")
        return bytes_per_second
    except SizeUnreadable as error:
        complaints.append(f"transfer: maximum_rate: {error}")
        return None
