"""
Who on this node has which volume mounted: what the plugin remembers, so that a restart of anything forgets nobody.

A volume that nobody has mounted any more stays remembered until its lease is released.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from uuid import UUID

from pyrsistent import PMap, PVector, pmap, pvector

from flocker_py.model import DatasetId
from flocker_py.records import Record, mapping, sequence, value


class MountedVolume(Record):
    """
    A volume that is mounted here, or was, and has not been released yet.

    :param callers: the ids by which Docker tells its mounts apart, sorted.
    :param releases: whether the lease is the plugin's to release; False: somebody else holds it until he releases it.
    """

    dataset_id: DatasetId = value(UUID)
    callers: PVector[str] = sequence(str, default=())
    releases: bool = value(bool, default=True)


class MountedVolumes(Record):
    """
    All of those, by the names that Docker calls them by.

    :param era: the boot of the host in which they are mounted.
    """

    era: UUID = value(UUID)
    volumes: PMap[str, MountedVolume] = mapping(str, MountedVolume, default={})


def in_era(known: MountedVolumes, era: UUID) -> MountedVolumes:
    """
    What is remembered, in this boot of the host: after another, nothing is mounted by anybody.
    """
    if known.era == era:
        return known
    volumes = {name: volume.set(callers=pvector()) for name, volume in known.volumes.items()}
    return MountedVolumes(era=era, volumes=pmap(volumes))


def with_caller(
    known: MountedVolumes, name: str, dataset_id: DatasetId, caller: str, *, releases: bool
) -> MountedVolumes:
    """
    With one more that has a volume mounted.

    :param releases: of a volume that nobody has yet.
    """
    volume = known.volumes.get(name)
    if volume is None or volume.dataset_id != dataset_id:
        # What had the name before is deleted, and its lease is gone with it.
        volume = MountedVolume(dataset_id=dataset_id, releases=releases)
    callers = pvector(sorted({*volume.callers, caller}))
    return known.set(volumes=known.volumes.set(name, volume.set(callers=callers)))


def releasing(known: MountedVolumes, name: str) -> MountedVolumes:
    """
    With a lease that is the plugin's to release.
    """
    return known.set(volumes=known.volumes.set(name, known.volumes[name].set(releases=True)))


def without_caller(known: MountedVolumes, name: str, caller: str) -> MountedVolumes:
    """
    With one less. That he hadn't it, or that nobody had, is harmless.
    """
    volume = known.volumes.get(name)
    if volume is None:
        return known
    callers = pvector(each for each in volume.callers if each != caller)
    return known.set(volumes=known.volumes.set(name, volume.set(callers=callers)))


def without_callers(known: MountedVolumes, name: str) -> MountedVolumes:
    """
    With nobody who has a volume mounted.
    """
    return known.set(volumes=known.volumes.set(name, known.volumes[name].set(callers=pvector())))


def without_volume(known: MountedVolumes, name: str) -> MountedVolumes:
    """
    Without a volume, whose lease is released.
    """
    return known.set(volumes=known.volumes.discard(name))


def callers(known: MountedVolumes, name: str) -> PVector[str]:
    """
    Who has a volume mounted.
    """
    volume = known.volumes.get(name)
    return pvector() if volume is None else volume.callers


def unused(known: MountedVolumes) -> tuple[str, ...]:
    """
    The volumes that nobody has mounted, to be released.
    """
    return tuple(sorted(name for name, volume in known.volumes.items() if not volume.callers))


def unseen_since(
    known: MountedVolumes, seen: AbstractSet[str] | None, since: Mapping[str, float], now_seconds: float
) -> dict[str, float]:
    """
    Since when no container is seen to use which volume that somebody is remembered to have mounted.

    :param seen: what running containers use; None: nobody can tell, which says nothing about anything.
    :param since: what this gave when it was asked last.
    """
    if seen is None:
        return {}
    missing = (name for name, volume in known.volumes.items() if volume.callers and name not in seen)
    return {name: since.get(name, now_seconds) for name in missing}


def forgotten(since: Mapping[str, float], now_seconds: float, forget_seconds: float) -> tuple[str, ...]:
    """
    The volumes that Docker has forgotten: no container has been seen to use them for so long.
    """
    return tuple(sorted(name for name, begun in since.items() if now_seconds - begun >= forget_seconds))
