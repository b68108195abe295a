"""
What values users may give: sizes, names, metadata, definitions of containers.

The schemas of the REST API and the decisions in ``commands`` share these numbers; what gets past the first, such as a
deployment, is stopped by the second.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping

from flocker_py.container_values import (
    HIGHEST_HEALTH_RETRIES,
    HIGHEST_PIDS,
    LOG_DRIVER_MEANING,
    LOG_DRIVER_PATTERN,
    LOG_OPTIONS,
    LONGEST_DURATION_SECONDS,
    OPTION_PATTERN,
    ValueUnusable,
    capabilities_complaint,
    capability,
    cpus_complaint,
    file_complaint,
    security_option,
    signal_name,
    user_complaint,
)
from flocker_py.images import image_complaint
from flocker_py.model import Container, Dataset, HealthCheck, RestartName
from flocker_py.published_ports import MOST_PORTS, AddressUnreadable, excluded, host_address, port_text
from flocker_py.units import MAXIMUM_SIZE_BYTES, size_limit_complaint

METADATA_ENTRIES = 16
METADATA_CHARACTERS = 256
NAME_PATTERN = r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$"
"""What operators call nodes and datasets."""

CONTAINER_NAME_PATTERN = r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$"
SNAPSHOT_PATTERN = r"^[a-zA-Z0-9_.:-]{1,80}$"
"""As ZFS names them, but for spaces, and no longer than what a received snapshot keeps its name with."""

ALIAS_PATTERN = r"^[a-zA-Z0-9]{1,64}$"
PORT_HIGHEST = 65535
PROTOCOLS = ("tcp", "udp")
CPU_SHARES_HIGHEST = 1024
MEMORY_MINIMUM_BYTES = 1024**2
SWAPPINESS_HIGHEST = 100
ARGUMENTS = 4096
ARGUMENT_CHARACTERS = 4096
DOWNTIME_HIGHEST_SECONDS = 86_400
GRACE_HIGHEST_SECONDS = 86_400

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def name_complaint(name: str | None) -> str | None:
    """
    What is wrong with the name of a node or dataset; None: nothing.
    """
    if name is None:
        return None
    if _UUID.fullmatch(name):
        return f"the name {name!r} could be mistaken for an id"
    if not re.fullmatch(NAME_PATTERN, name):
        return f"the name {name!r} is not 1 to 63 letters, digits, '_', '.' or '-', beginning with a letter or digit"
    return None


def address_complaint(address: str | None) -> str | None:
    """
    What is wrong with a node's address; None: nothing.
    """
    if address is None:
        return None
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return f"the address {address!r} is not an IPv4 or IPv6 address"
    return None


def text_complaint(what: str, texts: Iterable[str]) -> str | None:
    """
    What is wrong with texts that are to be kept and passed on to programs; None: nothing.
    """
    for text in texts:
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            return f"{what} {text!r} has a character that can't be passed on"
    return None


def dataset_complaint(dataset: Dataset) -> str | None:
    """
    What is wrong with a dataset as it is wanted; None: nothing.
    """
    size_bytes = dataset.maximum_size_bytes
    complaint = None if size_bytes is None else size_limit_complaint(size_bytes)
    complaint = complaint or name_complaint(dataset.name) or _metadata_complaint(dataset.metadata)
    if complaint is None and dataset.origin is not None:
        complaint = _snapshot_complaint(dataset.origin.snapshot)
    if complaint is None and not 0 < dataset.max_downtime_seconds <= DOWNTIME_HIGHEST_SECONDS:
        return f"a downtime of {dataset.max_downtime_seconds} s is not between 0 and {DOWNTIME_HIGHEST_SECONDS} s"
    return complaint


def _snapshot_complaint(name: str) -> str | None:
    if re.fullmatch(SNAPSHOT_PATTERN, name):
        return None
    return f"{name[:40]!r} can't be the name of a snapshot: it has 1 to 80 letters, digits, '_', '-', '.' and ':'"


def _metadata_complaint(metadata: Mapping[str, str]) -> str | None:
    if len(metadata) > METADATA_ENTRIES:
        return f"there are {len(metadata)} entries of metadata, and at most {METADATA_ENTRIES} are kept"
    for key, text in metadata.items():
        if not 1 <= len(key) <= METADATA_CHARACTERS or len(text) > METADATA_CHARACTERS:
            return f"the entry of metadata under {key[:40]!r} is empty or longer than {METADATA_CHARACTERS} characters"
    return text_complaint("metadata", (*metadata, *metadata.values()))


def container_complaint(container: Container) -> str | None:
    """
    The first thing that is wrong with a container's definition, whatever it runs on; None: nothing.
    """
    return next(_container_complaints(container), None)


def _container_complaints(c: Container) -> Iterator[str]:
    if _UUID.fullmatch(c.name):
        yield f"the name {c.name!r} could be mistaken for the id of a dataset; choose another"
    elif not re.fullmatch(CONTAINER_NAME_PATTERN, c.name):
        yield (
            f"the container name {c.name!r} is not 1 to 128 letters, digits, '_', '.' or '-',"
            " beginning with a letter or digit"
        )
    if c.image is None and not c.command:
        yield "there is neither an image nor a command to run"
    complaint = None if c.image is None else image_complaint(c.image)
    if complaint is not None:
        yield f"image: {complaint}"
    for what, arguments in (("command", c.command), ("entrypoint", c.entrypoint)):
        if len(arguments) > ARGUMENTS or any(len(argument) > ARGUMENT_CHARACTERS for argument in arguments):
            yield f"the {what} has more than {ARGUMENTS} arguments, or one longer than {ARGUMENT_CHARACTERS}"
    for name in c.environment:
        if not name or "=" in name:
            yield f"environment: a variable can't be called {name!r}"
    yield from _port_complaints(c)
    yield from _limit_complaints(c)
    yield from _right_complaints(c)
    yield from _log_complaints(c)
    if c.health is not None:
        yield from _health_complaints(c.health)
    for mount in c.mounts:
        if mount.path is not None and not mount.path.startswith("/"):
            yield f"mounts: the path {mount.path!r} is not absolute"
    yield from _repeated("mounts: dataset", (mount.dataset_id for mount in c.mounts))
    yield from _repeated("mounts: path", (mount.path for mount in c.mounts if mount.path is not None))
    health = () if c.health is None else c.health.command
    more = (*c.entrypoint, *health, *c.log_options.values(), c.environment_file or "")
    texts = (*c.command, *more, *c.environment, *c.environment.values(), *c.labels, *c.labels.values(), c.image or "")
    paths = (mount.path or "" for mount in c.mounts)
    complaint = text_complaint("the text", (*texts, *paths))
    if complaint is not None:
        yield complaint


def _port_complaints(c: Container) -> Iterator[str]:
    for port in c.ports:
        if not _is_port(port.internal) or not _is_port(port.external):
            yield f"ports: {port.internal} and {port.external} are not both between 1 and {PORT_HIGHEST}"
        if port.protocol not in PROTOCOLS:
            yield f"ports: the protocol {port.protocol!r} is neither {' nor '.join(PROTOCOLS)}"
        try:
            readable = port.host_address is None or host_address(port.host_address) == port.host_address
        except AddressUnreadable as error:
            yield f"ports: {error}"
        else:
            if not readable:
                yield f"ports: the address {port.host_address!r} is not in its usual spelling"
    if len(c.ports) > MOST_PORTS:
        yield f"ports: there are {len(c.ports)}, and a container has at most {MOST_PORTS}"
    yield from _repeated(
        "ports: internal",
        (f"{port.internal}/{port.protocol} at {port.host_address or 'all addresses'}" for port in c.ports),
    )
    for port, _, _ in excluded((port, None) for port in c.ports):
        yield f"ports: external {port_text(port)} appears twice"
    for link in c.links:
        if not re.fullmatch(ALIAS_PATTERN, link.alias):
            yield f"links: the alias {link.alias!r} is not made of letters and digits"
        if not _is_port(link.local_port) or not _is_port(link.remote_port):
            yield f"links: {link.local_port} and {link.remote_port} are not both between 1 and {PORT_HIGHEST}"
    # A variable of the environment has both in its name.
    yield from _repeated("links: alias and local port", (f"{link.alias.lower()} {link.local_port}" for link in c.links))


def _limit_complaints(c: Container) -> Iterator[str]:
    retries = c.restart.maximum_retry_count
    if retries is not None and (c.restart.name is not RestartName.ON_FAILURE or retries < 1):
        yield "restart: a maximum retry count belongs to on-failure, and is at least 1"
    if c.memory_bytes is not None and not MEMORY_MINIMUM_BYTES <= c.memory_bytes <= MAXIMUM_SIZE_BYTES:
        yield f"memory: {c.memory_bytes} bytes is not at least {MEMORY_MINIMUM_BYTES}, or more than there is"
    if c.cpu_shares is not None and not 1 <= c.cpu_shares <= CPU_SHARES_HIGHEST:
        yield f"cpu_shares: {c.cpu_shares} is not between 1 and {CPU_SHARES_HIGHEST}"
    if c.swappiness is not None and not 0 <= c.swappiness <= SWAPPINESS_HIGHEST:
        yield f"swappiness: {c.swappiness} is not between 0 and {SWAPPINESS_HIGHEST}"
    complaint = None if c.cpus is None else cpus_complaint(c.cpus)
    if complaint is not None:
        yield f"cpus: {complaint}"
    if c.pids_limit is not None and not 1 <= c.pids_limit <= HIGHEST_PIDS:
        yield f"pids_limit: {c.pids_limit} is not between 1 and {HIGHEST_PIDS}"
    complaint = None if c.environment_file is None else file_complaint(c.environment_file)
    if complaint is not None:
        yield f"environment_file: {complaint}"
    if not 0 < c.stop_grace_seconds <= GRACE_HIGHEST_SECONDS:
        yield f"stop_grace: {c.stop_grace_seconds} s is not between 0 and {GRACE_HIGHEST_SECONDS} s"


def _right_complaints(c: Container) -> Iterator[str]:
    complaint = None if c.user is None else user_complaint(c.user)
    if complaint is not None:
        yield f"user: {complaint}"
    checks = (
        ("stop_signal", signal_name, [] if c.stop_signal is None else [c.stop_signal]),
        ("capabilities_add", capability, c.capabilities_add),
        ("capabilities_drop", capability, c.capabilities_drop),
        ("security_options", security_option, c.security_options),
    )
    for field, spelling, given in checks:
        for written in given:
            try:
                spelling(written)
            except ValueUnusable as error:
                yield f"{field}: {error}"
        yield from _repeated(f"{field}:", given)
    complaint = capabilities_complaint(c.capabilities_add, c.capabilities_drop)
    if complaint is not None:
        yield f"capabilities: {complaint}"


def _log_complaints(c: Container) -> Iterator[str]:
    if c.log_driver is None and c.log_options:
        yield "log_options: they belong to a log_driver, and there is none"
    if c.log_driver is not None and not re.fullmatch(LOG_DRIVER_PATTERN, c.log_driver):
        yield f"log_driver: must be {LOG_DRIVER_MEANING}"
    if len(c.log_options) > LOG_OPTIONS:
        yield f"log_options: there are {len(c.log_options)}, and at most {LOG_OPTIONS} are kept"
    for name in c.log_options:
        if not re.fullmatch(OPTION_PATTERN, name):
            yield f"log_options: {name[:60]!r} is not the name of an option"


def _health_complaints(health: HealthCheck) -> Iterator[str]:
    if not health.command or not health.command[0]:
        yield "health: the command is empty"
    if len(health.command) > ARGUMENTS or any(len(argument) > ARGUMENT_CHARACTERS for argument in health.command):
        yield f"health: the command has more than {ARGUMENTS} arguments, or a longer one than {ARGUMENT_CHARACTERS}"
    if not 1 <= health.retries <= HIGHEST_HEALTH_RETRIES:
        yield f"health: {health.retries} retries are not between 1 and {HIGHEST_HEALTH_RETRIES}"
    for what in ("interval_seconds", "timeout_seconds"):
        seconds = getattr(health, what)
        if not 0 < seconds <= LONGEST_DURATION_SECONDS:
            yield f"health: {what} of {seconds} is not between 0 and {LONGEST_DURATION_SECONDS}"
    if not 0 <= health.start_period_seconds <= LONGEST_DURATION_SECONDS:
        yield f"health: start_period_seconds of {health.start_period_seconds} is not up to {LONGEST_DURATION_SECONDS}"


def _is_port(number: int) -> bool:
    return 1 <= number <= PORT_HIGHEST


def _repeated(what: str, values: Iterable[Hashable]) -> Iterator[str]:
    seen: set[Hashable] = set()
    for given in values:
        if given in seen:
            yield f"{what} {given} appears twice"
        seen.add(given)
