"""
Volumes of the cluster on one node: what Docker asks for, done by the control service, and who has what.

A volume is held for this node by a lease from its first mount to its last unmount. What is remembered about that is
written down before it is done, and each volume's steps come one after the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eliot import log_message
from pyrsistent import pmap
from twisted.internet.defer import DeferredLock
from twisted.internet.task import deferLater

from flocker_agent.plugin.errors import VolumeRefused
from flocker_agent.plugin.keeping import remember
from flocker_agent.plugin.listing import listed, mountpoint, shown
from flocker_agent.plugin.mounting import (
    AskForMove,
    Look,
    Ready,
    Refuse,
    TakeLease,
    Wait,
    called,
    next_step,
    too_late_text,
)
from flocker_agent.plugin.options import Options, check_name, difference
from flocker_agent.plugin.removing import why_not_removed
from flocker_agent.plugin.users import (
    MountedVolumes,
    callers,
    releasing,
    unused,
    with_caller,
    without_caller,
    without_callers,
    without_volume,
)
from flocker_agent.threads import Blocking
from flocker_py.client.control import ControlClient
from flocker_py.client.errors import NotFound, RequestRefused
from flocker_py.client.views import DatasetView, node_names
from flocker_py.errors import FlockerError, code
from flocker_py.model import DatasetId, MoveId, NodeId, Origin

RETRY_SECONDS = 900.0
"""For so long a volume is held whose mount took too long, so that whoever asks again finds it."""
_NOT_TO_BE_COPIED = frozenset({"SnapshotMissing", "DatasetMissing", "PoolFull", "LimitRefused"})
LOOK_SECONDS = (0.1, 0.2, 0.4, 0.8)
"""Between looks at a volume that is on its way; the last one from then on."""


class NotRemembered(FlockerError):
    """
    Who has volumes mounted here can't be written down, so nothing was done. Make room there, or let it be written.
    """


class Volumes:
    """
    :param here: this node.
    :param known: who has what, as it was remembered; ``folder``: where that is.
    :param mount_seconds: after how long a mount is answered at the latest, give or take a request.
    :ivar mounting: the volumes that are on their way to somebody.
    """

    def __init__(
        self,
        reactor: Any,
        client: ControlClient,
        *,
        here: NodeId,
        known: MountedVolumes,
        folder: Path,
        blocking: Blocking,
        mount_seconds: float,
    ) -> None:
        self._reactor = reactor
        self._client = client
        self._here = here
        self.known = known
        self._folder = folder
        self._blocking = blocking
        self._mount_seconds = mount_seconds
        self.mounting: Counter[str] = Counter()
        self._locks: dict[str, DeferredLock] = {}
        self._writing = DeferredLock()

    # -- what there is -------------------------------------------------------------------------------------------------

    async def list(self) -> list[dict[str, Any]]:
        """
        All volumes.
        """
        return listed((await self._client.datasets()).datasets, self._here)

    async def get(self, volume: str) -> dict[str, Any]:
        """
        One volume, with its status.

        :raises VolumeRefused: there is none of that name.
        """
        look = await self._look(volume)
        try:
            copies = await self._client.copies(str(look.dataset.dataset_id))
        except NotFound as error:
            raise VolumeRefused(_unknown(volume)) from error
        return shown(look, copies, len(callers(self.known, volume)))

    async def path(self, volume: str) -> str:
        """
        Where a volume is on this node; empty: it can't be used here now.

        :raises VolumeRefused: there is none of that name.
        """
        return mountpoint(await self._dataset(volume), self._here)

    # -- what shall be -------------------------------------------------------------------------------------------------

    async def create(self, volume: str, asked: Options) -> None:
        """
        Make a volume on this node, or where the snapshot is that it begins as, unless it is there and as it is asked
        for.

        :raises VolumeRefused: it is there and differs, or can't be made.
        """
        check_name(volume)
        other = None if asked.origin is None else await self._found(asked.origin.volume)
        # Looked for first: what it was made from may be gone since.
        found = await self._found(volume)
        ours = False
        if found is None:
            try:
                found = await self._made(volume, asked, other)
                ours = True
            except RequestRefused:
                # Somebody was quicker.
                found = await self._found(volume)
                if found is None:
                    raise
        differs = difference(asked, found, None if other is None else other.dataset_id)
        if differs is not None:
            raise VolumeRefused(f"there is a volume {volume} already, and {differs}")
        if asked.origin is not None:
            await self._copied(volume, found, ours=ours)

    async def _made(self, volume: str, asked: Options, other: DatasetView | None) -> DatasetView:
        policies: Any = asked.policies
        primary, origin = self._here, None
        if asked.origin is not None:
            if other is None:
                raise VolumeRefused(_unknown(asked.origin.volume))
            primary = other.owner
            origin = Origin(dataset_id=other.dataset_id, snapshot=asked.origin.snapshot)
        return await self._client.create_dataset(
            str(primary),
            name=volume,
            maximum_size_bytes=asked.size_bytes,
            metadata=asked.all_metadata,
            origin=origin,
            **policies,
        )

    async def _copied(self, volume: str, dataset: DatasetView, *, ours: bool) -> None:
        """
        Wait until a volume has been made from a snapshot, or takes long: whoever mounts it then waits for it.

        :param ours: this call has begun it, and so takes it back.
        :raises VolumeRefused: it can't be made. If it is ours it is gone, so that it can be asked for otherwise.
        """
        deadline = self._reactor.seconds() + self._mount_seconds
        looks = 0
        while not dataset.created and self._reactor.seconds() < deadline:
            # What else goes wrong is tried again by the agent.
            if dataset.last_error is not None and dataset.last_error.code in _NOT_TO_BE_COPIED:
                if ours:
                    await self._client.delete_dataset(dataset.dataset_id)
                raise VolumeRefused(f"volume {volume} was not made: {dataset.last_error.text}")
            await deferLater(self._reactor, LOOK_SECONDS[min(looks, len(LOOK_SECONDS) - 1)])
            looks += 1
            dataset = await self._dataset(volume)

    async def remove(self, volume: str) -> None:
        """
        Destroy a volume and what is in it.

        :raises VolumeRefused: there is none of that name, or somebody uses it, or it is protected.
        """
        await self._release_unused(volume)
        look = await self._look(volume)
        why = why_not_removed(look, len(callers(self.known, volume)))
        if why is not None:
            raise VolumeRefused(why)
        await self._client.delete_dataset(look.dataset.dataset_id)

    async def mount(self, volume: str, caller: str) -> str:
        """
        Where a volume is, once it is here: it is brought if nobody has it, and held until all its callers unmount it.

        :param caller: by what Docker tells this mount apart.
        :raises VolumeRefused: somebody has it, or it didn't come in time.
        """
        deadline = self._reactor.seconds() + self._mount_seconds
        self.mounting[volume] += 1
        try:
            return await self._mount(volume, caller, deadline)
        except Exception:
            # Docker counts no mount that it got no path for, also where it has stopped waiting for one.
            await self._settle(volume, caller)
            raise
        finally:
            self.mounting -= Counter([volume])

    async def _mount(self, volume: str, caller: str, deadline: float) -> str:
        asked = remembered = False
        last_move: MoveId | None = None
        looks = 0
        while True:
            look = await self._look(volume, asked=asked, last_move=last_move)
            if not looks and look.dataset.last_move is not None:
                last_move = look.dataset.last_move.move_id
                look = look.set(last_move=last_move)
            step = next_step(look)
            looks += 1
            if not remembered and not isinstance(step, Refuse):
                await self._remember_caller(volume, caller)
                remembered = True
                continue
            match step:
                case Refuse(text=text):
                    raise VolumeRefused(text)
                case Ready(path=path):
                    return path
                case TakeLease():
                    await self._take_lease(volume, look.dataset.dataset_id)
                case AskForMove():
                    asked = True
                    await self._ask_for_move(look)
                case Wait(reason=reason):
                    if self._reactor.seconds() >= deadline:
                        await self._hold_for_later(volume, caller, look.dataset.dataset_id)
                        here = called(look.names, self._here)
                        raise VolumeRefused(too_late_text(volume, here, self._mount_seconds, reason))
                    await deferLater(self._reactor, LOOK_SECONDS[min(looks, len(LOOK_SECONDS)) - 1])

    async def unmount(self, volume: str, caller: str) -> None:
        """
        Let go of a volume. That the caller hadn't it, or that it is gone, is harmless.
        """
        async with self._lock(volume):
            await self._change(lambda known: without_caller(known, volume, caller))
        try:
            await self._release_unused(volume)
        except FlockerError as error:
            # Docker could do nothing about it. It is tried again from time to time.
            log_message(message_type="flocker:plugin:not-released", volume=volume, code=code(error), reason=str(error))

    async def let_go(self, volume: str) -> None:
        """
        Nobody has it mounted any more.
        """
        async with self._lock(volume):
            if volume in self.known.volumes and volume not in self.mounting:
                log_message(message_type="flocker:plugin:forgotten", volume=volume)
                await self._change(lambda known: without_callers(known, volume))

    async def release_all_unused(self) -> None:
        """
        Release what nobody has mounted any more.
        """
        for volume in unused(self.known):
            await self._release_unused(volume)

    # -- steps ---------------------------------------------------------------------------------------------------------

    async def _remember_caller(self, volume: str, caller: str) -> None:
        async with self._lock(volume):
            # Looked at again: it may have been released while this waited for its turn.
            dataset = await self._dataset(volume)
            lease = dataset.lease
            somebodys = lease is not None and lease.node_id == self._here and lease.left_seconds is None
            await self._change(
                lambda known: with_caller(known, volume, dataset.dataset_id, caller, releases=not somebodys)
            )

    async def _take_lease(self, volume: str, dataset_id: DatasetId) -> None:
        async with self._lock(volume):
            if not callers(self.known, volume):
                raise VolumeRefused(f"volume {volume} was unmounted before it was here")
            await self._change(lambda known: releasing(known, volume))
            try:
                await self._client.acquire_lease(str(dataset_id), str(self._here), None)
            except RequestRefused as error:
                # Somebody was quicker, or it is gone.
                raise VolumeRefused(f"volume {volume} can't be held for this node: {error}") from error

    async def _ask_for_move(self, look: Look) -> None:
        try:
            # The lease in the way is ours.
            await self._client.start_move(str(look.dataset.dataset_id), str(self._here), force=True)
        except RequestRefused as error:
            raise VolumeRefused(f"volume {look.volume} can't be moved here: {error}") from error

    async def _hold_for_later(self, volume: str, caller: str, dataset_id: DatasetId) -> None:
        async with self._lock(volume):
            others = [each for each in callers(self.known, volume) if each != caller]
            if others or not self.known.volumes[volume].releases:
                return
            await self._client.acquire_lease(str(dataset_id), str(self._here), RETRY_SECONDS)
            await self._change(lambda known: without_volume(known, volume))

    async def _settle(self, volume: str, caller: str) -> None:
        """
        Forget a caller who doesn't get the volume.
        """
        if caller in callers(self.known, volume):
            await self.unmount(volume, caller)

    async def _release_unused(self, volume: str) -> None:
        """
        Release a volume that nobody has mounted any more.
        """
        async with self._lock(volume):
            held = self.known.volumes.get(volume)
            if held is None or held.callers:
                return
            if held.releases:
                try:
                    await self._client.release_lease(str(held.dataset_id), node=str(self._here))
                except RequestRefused as error:
                    # It is released already, or another node's by now.
                    log_message(message_type="flocker:plugin:no-lease", volume=volume, reason=str(error))
            await self._change(lambda known: without_volume(known, volume))

    async def _change(self, change: Callable[[MountedVolumes], MountedVolumes]) -> None:
        """
        Remember something else, on disk first.
        """
        async with self._writing:
            known = change(self.known)
            if known != self.known:
                try:
                    await self._blocking.run(remember, self._folder, known)
                except OSError as error:
                    raise NotRemembered(f"{self._folder}: {error.strerror}") from error
                self.known = known

    # -- looks ---------------------------------------------------------------------------------------------------------

    async def _look(self, volume: str, *, asked: bool = False, last_move: MoveId | None = None) -> Look:
        dataset, nodes = await self._dataset(volume), await self._client.nodes()
        return Look(
            volume=volume,
            dataset=dataset,
            containers=await self._client.containers(),
            here=self._here,
            names=pmap(node_names(nodes.nodes)),
            asked=asked,
            last_move=last_move,
        )

    async def _found(self, volume: str) -> DatasetView | None:
        try:
            dataset = await self._client.dataset(volume)
        except NotFound:
            return None
        # What looks like an id finds datasets that have another name.
        return dataset if dataset.name == volume and not dataset.deleted else None

    async def _dataset(self, volume: str) -> DatasetView:
        found = await self._found(volume)
        if found is None:
            raise VolumeRefused(_unknown(volume))
        return found

    def _lock(self, volume: str) -> Any:
        return self._locks.setdefault(volume, DeferredLock())


def _unknown(volume: str) -> str:
    return f"there is no volume {volume}"
