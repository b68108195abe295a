"""
Values that several parts of a deployment document have: names, labels, sizes, durations, policies.
"""

from __future__ import annotations

import ipaddress
import re
from uuid import UUID

from flocker_py.container_values import LOG_OPTIONS, LONGEST_DURATION_SECONDS, OPTION_PATTERN
from flocker_py.documents import (
    Fields,
    Place,
    read_text,
    reader_by,
    reader_of_choice,
    reader_of_integer,
    reader_of_pattern,
    reader_of_texts_by_name,
    shown,
    unprintable,
)
from flocker_py.model import OverrunPolicy, PartitionPolicy, RestartName, RestartPolicy, StartFailurePolicy
from flocker_py.published_ports import HIGHEST_PORT
from flocker_py.records import Record, value
from flocker_py.units import (
    MAXIMUM_SIZE_BYTES,
    MIB,
    DurationUnreadable,
    SizeUnreadable,
    duration_seconds,
    size_bytes,
    size_limit_complaint,
)

NAME_PATTERN = r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}"
APP_NAME_PATTERN = r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}"
ALIAS_PATTERN = r"[a-zA-Z0-9]{1,64}"
UUID_PATTERN = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
HIGHEST_CPU_SHARES = 1024
HIGHEST_RETRY_COUNT = 2**31 - 1
MINIMUM_MEMORY_BYTES = MIB
LABELS = 16
LABEL_CHARACTERS = 256
ARGUMENTS = 4096
ARGUMENT_CHARACTERS = 4096


class Defaults(Record):
    """
    What the document says once for all its volumes and apps.
    """

    maximum_size_bytes: int | None = value((int, type(None)), default=None)
    restart: RestartPolicy = value(RestartPolicy, default=RestartPolicy())
    max_downtime_seconds: float | None = value((float, type(None)), default=None)
    on_overrun: OverrunPolicy | None = value((OverrunPolicy, type(None)), default=None)
    on_start_failure: StartFailurePolicy | None = value((StartFailurePolicy, type(None)), default=None)
    on_partition: PartitionPolicy | None = value((PartitionPolicy, type(None)), default=None)
    stop_grace_seconds: float = value(float, default=10.0)


_RESTART_NAMES = {name.value: name for name in RestartName}
_OTHER_RESTARTS = ("unless-stopped", "no")


def read_restart(place: Place) -> RestartPolicy | None:
    """
    A restart policy, by its name or with its count.
    """
    read_name = reader_of_choice(_RESTART_NAMES, _OTHER_RESTARTS)
    if not isinstance(place.value, dict):
        only_name = read_name(place)
        return None if only_name is None else RestartPolicy(name=only_name)
    fields = Fields(place, "restart")
    name = fields.need("name", read_name)
    count = fields.take("maximum_retry_count", reader_of_integer(1, HIGHEST_RETRY_COUNT))
    fields.finish()
    if count is not None and name is not None and name is not RestartName.ON_FAILURE:
        place.complain("maximum_retry_count belongs to on-failure only")
        return None
    return None if name is None else RestartPolicy(name=name, maximum_retry_count=count)


NAME_MEANING = "1 to 63 letters, digits, '_', '.' or '-', beginning with a letter or digit"
APP_NAME_MEANING = "1 to 128 letters, digits, '_', '.' or '-', beginning with a letter or digit"

read_port_number = reader_of_integer(1, HIGHEST_PORT)
read_overrun = reader_of_choice({policy.value: policy for policy in OverrunPolicy})
read_start_failure = reader_of_choice({policy.value: policy for policy in StartFailurePolicy})
read_partition = reader_of_choice({policy.value: policy for policy in PartitionPolicy})


def name_complaint(name: str) -> str | None:
    """
    What is wrong with the name of a node or volume; None: nothing.
    """
    if re.fullmatch(UUID_PATTERN, name):
        return f"{shown(name)} could be mistaken for an id: choose another name"
    if not re.fullmatch(NAME_PATTERN, name):
        return f"the name {shown(name)} must be {NAME_MEANING}"
    return None


def app_name_complaint(name: str) -> str | None:
    """
    What is wrong with the name of an app; None: nothing.
    """
    if re.fullmatch(UUID_PATTERN, name):
        return f"{shown(name)} could be mistaken for the id of a volume: choose another name"
    if not re.fullmatch(APP_NAME_PATTERN, name):
        return f"the name {shown(name)} must be {APP_NAME_MEANING}"
    return None


def _variable_complaint(name: str) -> str | None:
    if not name or "=" in name or unprintable(name):
        return f"a variable can't be called {shown(name)}"
    return None


def _label_complaint(name: str) -> str | None:
    if not 1 <= len(name) <= LABEL_CHARACTERS or unprintable(name):
        return f"the label {shown(name)} must have 1 to {LABEL_CHARACTERS} characters that can be passed on to programs"
    return None


def _option_complaint(name: str) -> str | None:
    if not re.fullmatch(OPTION_PATTERN, name):
        return f"{shown(name)} is not the name of an option: letters, digits and signs, without spaces"
    return None


read_environment = reader_of_texts_by_name("env", _variable_complaint)
_read_labels_of_any_size = reader_of_texts_by_name("labels", _label_complaint)


_read_options_of_any_size = reader_of_texts_by_name("options", _option_complaint)


def read_log_options(place: Place) -> dict[str, str] | None:
    """
    Options of a log driver.
    """
    options = _read_options_of_any_size(place)
    if options is not None and len(options) > LOG_OPTIONS:
        place.complain(f"there are {len(options)} options, and a log driver gets at most {LOG_OPTIONS}")
    return options


def read_labels(place: Place) -> dict[str, str] | None:
    """
    Labels, not too many or too long.
    """
    labels = _read_labels_of_any_size(place)
    if labels is not None and len(labels) > LABELS:
        place.complain(f"there are {len(labels)} labels, and at most {LABELS} are kept")
    for name, text in (labels or {}).items():
        if len(text) > LABEL_CHARACTERS:
            place.below(name, text).complain(f"must have at most {LABEL_CHARACTERS} characters")
    return labels


def read_uuid(place: Place) -> UUID | None:
    """
    A UUID.
    """
    text = reader_of_pattern(UUID_PATTERN, "a UUID")(place)
    return None if text is None else UUID(text)


def read_address(place: Place) -> str | None:
    """
    An IP address, in its usual spelling.
    """
    found = place.value
    if isinstance(found, str):
        try:
            return str(ipaddress.ip_address(found))
        except ValueError:
            pass
    place.complain(f"must be an IPv4 or IPv6 address, not {shown(found)}")
    return None


def read_host(place: Place) -> str | None:
    """
    The name or IP address of a host.
    """
    text = read_text(place)
    if text is None:
        return None
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    return reader_of_pattern(r"[a-zA-Z0-9]([a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?", "a host's name or IP address")(place)


_read_size_of_anything = reader_by(size_bytes, SizeUnreadable)
_read_any_duration = reader_by(duration_seconds, DurationUnreadable)


def read_size(place: Place) -> int | None:
    """
    The limit of a volume, in bytes.
    """
    size = _read_size_of_anything(place)
    complaint = None if size is None else size_limit_complaint(size)
    if complaint is not None:
        place.complain(complaint)
    return size


def read_memory(place: Place) -> int | None:
    """
    The limit of an app, in bytes.
    """
    memory = _read_size_of_anything(place)
    if memory is not None and not MINIMUM_MEMORY_BYTES <= memory <= MAXIMUM_SIZE_BYTES:
        place.complain(f"must be at least 1 MiB, not {memory} bytes")
        return None
    return memory


def read_duration(place: Place) -> float | None:
    """
    A duration of more than nothing, in seconds.
    """
    seconds = _read_any_duration(place)
    if seconds is not None and not 0 < seconds <= LONGEST_DURATION_SECONDS:
        place.complain("must be more than 0 s and at most 1 d")
        return None
    return seconds


def filled(place: Place) -> Place:
    """
    The same place; one with nothing in it has no fields.
    """
    # ``n1:`` with nothing after it is how YAML writes an entry without fields.
    return place if place.value is not None else Place({}, place.pointer, place.complaints)
