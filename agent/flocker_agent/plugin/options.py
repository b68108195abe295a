"""
The options of a volume, as ``docker volume create -o`` takes them.

====================  ==========================================================================================
option                what it is
====================  ==========================================================================================
``size``              the most that it holds, with a unit: ``10G``, ``512MiB``; without it, there is no limit
``from``              ``NAME@SNAPSHOT``: it begins as that snapshot of that volume, on the node that has it
``protected``         ``true``: ``docker volume rm`` refuses it until an operator says otherwise
``max_downtime``      how long its application may stand still in a move: ``500ms``, ``2s``
``on_overrun``        ``give-up`` or ``cut-over``
``on_start_failure``  ``go-back`` or ``stay``
``on_partition``      ``keep`` or ``fence``
``metadata.NAME``     an entry of its metadata
====================  ==========================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pyrsistent import PMap

from flocker_agent.plugin.errors import OptionRefused
from flocker_py.client.views import DatasetView
from flocker_py.deployment_values import NAME_PATTERN, UUID_PATTERN
from flocker_py.errors import explanation
from flocker_py.model import DatasetId, OverrunPolicy, PartitionPolicy, StartFailurePolicy
from flocker_py.protection import PROTECTED, is_protected, with_protection
from flocker_py.records import Record, mapping, value
from flocker_py.units import (
    DurationUnreadable,
    SizeUnreadable,
    bytes_text,
    duration_seconds,
    duration_text,
    size_bytes,
    size_limit_complaint,
)

_NONE = type(None)
_METADATA = "metadata."
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "on_overrun": tuple(policy.value for policy in OverrunPolicy),
    "on_start_failure": tuple(policy.value for policy in StartFailurePolicy),
    "on_partition": tuple(policy.value for policy in PartitionPolicy),
}
KNOWN = ("size", "from", PROTECTED, "max_downtime", *_CHOICES, f"{_METADATA}NAME")


class VolumeSnapshot(Record):
    """
    A snapshot of a volume, by the names of both.
    """

    volume: str = value(str)
    snapshot: str = value(str)


class Options(Record):
    """
    What was asked for; None and no entry: nothing was said about it.
    """

    size_bytes: int | None = value((int, _NONE), default=None)
    origin: VolumeSnapshot | None = value((VolumeSnapshot, _NONE), default=None)
    protected: bool | None = value((bool, _NONE), default=None)
    max_downtime_seconds: float | None = value((int, float, _NONE), default=None)
    choices: PMap[str, str] = mapping(str, str, default={})
    metadata: PMap[str, str] = mapping(str, str, default={})

    @property
    def policies(self) -> dict[str, str | float]:
        """
        As the client takes them.
        """
        downtime = {} if self.max_downtime_seconds is None else {"max_downtime_seconds": self.max_downtime_seconds}
        return {**self.choices, **downtime}

    @property
    def all_metadata(self) -> dict[str, str]:
        """
        With the mark of what is protected.
        """
        return with_protection(self.metadata, protected=bool(self.protected))


def options(given: Mapping[str, str]) -> Options:
    """
    Options as they were given.

    :raises OptionRefused: one is unknown, or has a value that can't be.
    """
    result = Options()
    for name, text in given.items():
        if name == "size":
            result = result.set(size_bytes=_size(text))
        elif name == PROTECTED:
            result = result.set(protected=_choice(name, text, ("true", "false")) == "true")
        elif name == "max_downtime":
            result = result.set(max_downtime_seconds=_downtime(text))
        elif name in _CHOICES:
            result = result.set(choices=result.choices.set(name, _choice(name, text, _CHOICES[name])))
        elif name == "from":
            result = result.set(origin=_origin(text))
        elif name.startswith(_METADATA) and name not in (_METADATA, f"{_METADATA}{PROTECTED}"):
            result = result.set(metadata=result.metadata.set(name.removeprefix(_METADATA), text))
        else:
            raise OptionRefused(f"{name}={text}: there is no option {name}, only {', '.join(KNOWN)}")
    return result


def check_name(volume: str) -> None:
    """
    Nothing, if a volume can be called so.

    :raises OptionRefused: it can't.
    """
    if re.fullmatch("[0-9a-f]{64}", volume):
        raise OptionRefused("a volume of the cluster needs a name: -v NAME:/path, or docker volume create NAME")
    if re.fullmatch(UUID_PATTERN, volume) or not re.fullmatch(NAME_PATTERN, volume):
        raise OptionRefused(
            f"volume {volume}: a name has 1 to 63 letters, digits, '_', '.' or '-', begins with a letter or digit, and"
            " is no UUID"
        )


def _size(text: str) -> int:
    # Everybody has another unit in mind.
    if text.strip().isdigit():
        raise OptionRefused(f"size={text}: it has no unit. Write size={text.strip()}G, or with K, M or T")
    try:
        found = size_bytes(text)
    except SizeUnreadable as error:
        raise OptionRefused(f"size={text}: {explanation(error)}") from error
    complaint = size_limit_complaint(found)
    if complaint is not None:
        raise OptionRefused(f"size={text}: {complaint}")
    return found


def _origin(text: str) -> VolumeSnapshot:
    volume, _, snapshot = text.partition("@")
    if not volume or not snapshot:
        raise OptionRefused(f"from={text}: it is a volume's name, @, and a snapshot's name: from=NAME@SNAPSHOT")
    return VolumeSnapshot(volume=volume, snapshot=snapshot)


def _downtime(text: str) -> float:
    try:
        found = duration_seconds(text)
    except DurationUnreadable as error:
        raise OptionRefused(f"max_downtime={text}: {explanation(error)}") from error
    if found == 0:
        raise OptionRefused(f"max_downtime={text}: it must be greater than zero")
    return found


def _choice(name: str, text: str, there_are: tuple[str, ...]) -> str:
    if text not in there_are:
        raise OptionRefused(f"{name}={text}: it is one of {', '.join(there_are)}")
    return text


def difference(asked: Options, dataset: DatasetView, origin_id: DatasetId | None = None) -> str | None:
    """
    In what a dataset differs from what was asked for; None: in nothing that was said.

    :param origin_id: the dataset that it was to be made from; None: there is no such volume any more, so what it was
        called can't be compared.
    """
    size = dataset.maximum_size_bytes
    if asked.size_bytes is not None and asked.size_bytes != size:
        there = "no limit of its size" if size is None else f"a size of {bytes_text(size)}"
        return f"it has {there}, not {bytes_text(asked.size_bytes)}"
    if asked.protected is not None and asked.protected != is_protected(dataset.metadata):
        return f"it is {'not protected' if asked.protected else 'protected'}"
    if asked.origin is not None:
        made, snapshot = dataset.origin, asked.origin.snapshot
        wanted = f"not from snapshot {snapshot} of {asked.origin.volume}"
        if made is None:
            return f"it was made empty, {wanted}"
        if made.snapshot != snapshot or origin_id not in (None, made.dataset_id):
            return f"it was made from snapshot {made.snapshot} of dataset {made.dataset_id}, {wanted}"
    downtime = dataset.max_downtime_seconds
    if asked.max_downtime_seconds is not None and asked.max_downtime_seconds != downtime:
        there = "unknown" if downtime is None else duration_text(downtime)
        return f"its max_downtime is {there}, not {duration_text(asked.max_downtime_seconds)}"
    for name, wanted in sorted(asked.choices.items()):
        found = getattr(dataset, name)
        if found != wanted:
            return f"its {name} is {found}, not {wanted}"
    for name, wanted in sorted(asked.metadata.items()):
        if dataset.metadata.get(name) != wanted:
            return f"its metadata has {name}={dataset.metadata.get(name, '')}, not {wanted}"
    return None
