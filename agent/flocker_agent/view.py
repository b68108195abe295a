"""
What the agent sees of its host, kept up to date piece by piece, and told as one record.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from pyrsistent import PMap, pmap, pvector

from flocker_agent.plan import EXPIRES_AT, STASHED_AT, Local, Sending, final_guid, kept_seconds, newest_guid
from flocker_py.definitions import started_digest
from flocker_py.model import Container, ContainerName, DatasetId
from flocker_py.observed import (
    ContainerObservation,
    ContainerPhase,
    DatasetObservation,
    NodeObservation,
    ReportedError,
    SendProgress,
    SendVerdict,
    StashObservation,
)
from flocker_py.storage import StoredDataset


class View:
    """
    :param node: what is constant of the node, with nothing seen yet.
    """

    def __init__(self, node: NodeObservation) -> None:
        self.node = node
        self.looked = False
        self.definitions: dict[ContainerName, Container] = {}
        self.starting: dict[ContainerName, Container] = {}
        self.receiving: set[DatasetId] = set()
        self.lease_over = False
        self._leased: set[DatasetId] = set()
        self._stored: PMap[DatasetId, StoredDataset] = pmap()
        self._seen_by_look: dict[DatasetId, int] = {}
        self.stashes: PMap[str, StoredDataset] = pmap()
        self._stashes_by_look = -1
        self._containers_by_look = -1
        self._sending: dict[DatasetId, Sending] = {}
        self._progress: dict[DatasetId, SendProgress] = {}
        self._sent_before_bytes: dict[DatasetId, int] = {}

    # -- datasets --------------------------------------------------------------------------------------------------

    def stored(self, dataset_id: DatasetId) -> StoredDataset | None:
        """
        A dataset as the pool had it when it was last looked at.
        """
        return self._stored.get(dataset_id)

    def all_stored(self, look: int, datasets: PMap[DatasetId, StoredDataset], free_bytes: int) -> set[DatasetId]:
        """
        The whole pool was looked at. Answers with the datasets that differ from before.

        :param look: its number; looks are numbered when they begin, and a later one is never overruled by an earlier.
        """
        ids: set[DatasetId] = {*datasets, *self._stored}
        news = {d for d in ids if self.one_stored(look, d, datasets.get(d))}
        self.node = self.node.set(storage_known=True, free_bytes=free_bytes)
        return news

    def one_stored(self, look: int, dataset_id: DatasetId, stored: StoredDataset | None) -> bool:
        """
        One dataset was looked at; None: it is not in the pool. Answers whether that is news.
        """
        if look < self._seen_by_look.get(dataset_id, -1):
            return False
        self._seen_by_look[dataset_id] = look
        if self._stored.get(dataset_id) == stored:
            return False
        self._stored = self._stored.discard(dataset_id) if stored is None else self._stored.set(dataset_id, stored)
        self._tell(dataset_id)
        return True

    def with_present(
        self, dataset_id: DatasetId, datasets: PMap[DatasetId, StoredDataset]
    ) -> PMap[DatasetId, StoredDataset]:
        """
        Datasets as they were looked at, but for one that stays as it was seen before.
        """
        stored = self._stored.get(dataset_id)
        return datasets.discard(dataset_id) if stored is None else datasets.set(dataset_id, stored)

    def pool_unknown(self) -> None:
        """
        The pool or the runtime could not be looked at: what was seen before may be out of date, and incomplete.
        """
        self.node = self.node.set(storage_known=False, runtime_known=False)

    def local(self, dataset_id: DatasetId) -> Local:
        """
        All that a plan for a dataset looks at.
        """
        return Local(
            stored=self._stored.get(dataset_id),
            sending=self._sending.get(dataset_id),
            receiving=dataset_id in self.receiving,
            users=pvector(self._users(dataset_id)),
            stashes=pmap({name: stash for name, stash in self.stashes.items() if stash.dataset_id == dataset_id}),
            lease_over=self.lease_over,
        )

    def is_leased(self, dataset_id: DatasetId, leased: bool) -> None:
        """
        Whether a dataset is asked to be served only for as long as the lease of this node lasts.
        """
        (self._leased.add if leased else self._leased.discard)(dataset_id)
        self._tell(dataset_id)

    def _is_bound(self, dataset_id: DatasetId) -> bool:
        """
        Whether it is so, and all that runs with it ends with the lease too.
        """
        if dataset_id not in self._leased or any(
            m.dataset_id == dataset_id for c in self.starting.values() for m in c.mounts
        ):
            return False
        seen = self.node.containers.values()
        return self.node.runtime_known and all(
            c.leased or c.phase is ContainerPhase.EXITED for c in seen if dataset_id in c.mounts
        )

    def all_stashes(self, look: int, stashes: PMap[str, StoredDataset]) -> set[DatasetId]:
        """
        What was put aside was looked at. Answers with the datasets of those that differ from before.

        :param look: as in ``all_stored``.
        """
        if look < self._stashes_by_look:
            return set()
        self._stashes_by_look = look
        before, self.stashes = self.stashes, stashes
        news = {name for name in {*before, *stashes} if before.get(name) != stashes.get(name)}
        if news:
            told = {name: stash_observation(name, stash) for name, stash in stashes.items()}
            self.node = self.node.set(stashes=pmap(told))
        return {
            stash.dataset_id for name in news for stash in (before.get(name), stashes.get(name)) if stash is not None
        }

    def _users(self, dataset_id: DatasetId) -> Iterable[ContainerName]:
        names = {
            name
            for name, seen in self.node.containers.items()
            if dataset_id in seen.mounts and seen.phase is not ContainerPhase.EXITED
        }
        names |= {name for name, c in self.starting.items() if any(m.dataset_id == dataset_id for m in c.mounts)}
        return sorted(names)

    def sending_started(self, dataset_id: DatasetId, sending: Sending) -> None:
        """
        A session was opened, in the place of any before.
        """
        earlier = self._sending.get(dataset_id)
        self._sending[dataset_id] = sending
        if earlier is None or earlier.send_to.move_id != sending.send_to.move_id:
            self._progress.pop(dataset_id, None)
        told = self._progress.get(dataset_id)
        # A session counts from nothing, and the move goes on over as many as it takes.
        self._sent_before_bytes[dataset_id] = 0 if told is None else told.sent_bytes
        self._tell(dataset_id)

    def sending_changed(self, dataset_id: DatasetId, **changes: object) -> None:
        """
        The present session has got further, or ended.
        """
        sending = self._sending.get(dataset_id)
        if sending is not None:
            self._sending[dataset_id] = sending.set(**changes)

    def sending_progress(self, dataset_id: DatasetId, progress: SendProgress) -> bool:
        """
        How the present session is doing. Answers whether the target has acknowledged another snapshot.
        """
        before = self._progress.get(dataset_id)
        sent_before_bytes = self._sent_before_bytes.get(dataset_id, 0)
        self._progress[dataset_id] = progress.set(sent_bytes=sent_before_bytes + progress.sent_bytes)
        self._tell(dataset_id)
        if progress.acknowledged_guid is None:
            return False
        self.sending_changed(dataset_id, acknowledged_guid=progress.acknowledged_guid)
        return before is None or before.acknowledged_guid != progress.acknowledged_guid

    def sending_ended(self, dataset_id: DatasetId, *, failed: bool) -> None:
        """
        The present session is over. If it failed, nothing that it said of a cut-over holds any more.
        """
        self.sending_changed(dataset_id, ended=True, failed=failed)
        progress = self._progress.get(dataset_id)
        if failed and progress is not None:
            self._progress[dataset_id] = progress.set(
                verdict=SendVerdict.CATCHING_UP,
                rate_bytes_per_second=0.0,
                eta_seconds=None,
                predicted_downtime_seconds=None,
            )
            self._tell(dataset_id)

    def sending_forgotten(self, dataset_id: DatasetId) -> None:
        """
        What there was of sessions concerns nobody any more.
        """
        self._sending.pop(dataset_id, None)
        self._progress.pop(dataset_id, None)
        self._sent_before_bytes.pop(dataset_id, None)
        self._tell(dataset_id)

    def _tell(self, dataset_id: DatasetId) -> None:
        stored = self._stored.get(dataset_id)
        if stored is None:
            self.node = self.node.set(datasets=self.node.datasets.discard(dataset_id))
            return
        seen = DatasetObservation(
            dataset_id=dataset_id,
            role=stored.role,
            epoch=stored.epoch,
            newest_guid=newest_guid(stored),
            newest_name=stored.snapshots[-1].name if stored.snapshots else None,
            newest_at_seconds=stored.snapshots[-1].created_at_seconds if stored.snapshots else None,
            final_guid=final_guid(stored),
            mounted=stored.mounted_at is not None,
            path=stored.mounted_at,
            used_bytes=stored.used_bytes,
            maximum_size_bytes=stored.maximum_size_bytes,
            sending=self._progress.get(dataset_id),
            leased=self._is_bound(dataset_id),
        )
        if self.node.datasets.get(dataset_id) != seen:
            self.node = self.node.set(datasets=self.node.datasets.set(dataset_id, seen))

    # -- containers ------------------------------------------------------------------------------------------------

    def all_containers(
        self,
        look: int,
        containers: PMap[ContainerName, ContainerObservation],
        definitions: dict[ContainerName, Container],
    ) -> set[ContainerName]:
        """
        All containers were looked at. Answers with those that differ from before.

        :param look: as in ``all_stored``.
        :param definitions: what each was started as.
        """
        if look < self._containers_by_look:
            return set()
        self._containers_by_look = look
        containers = pmap({n: c.set(started_digest=started_digest(definitions[n])) for n, c in containers.items()})
        names: set[ContainerName] = {*containers, *self.node.containers}
        news = {n for n in names if self.node.containers.get(n) != containers.get(n)}
        self.definitions = definitions
        self.node = self.node.set(containers=containers, runtime_known=True)
        for dataset_id in self._leased:
            self._tell(dataset_id)
        return news

    def prepared(self, name: ContainerName, digest: str | None) -> None:
        """
        The definition of a container with this digest has been prepared; None: none is any more.
        """
        if self.node.prepared.get(name) != digest:
            prepared = self.node.prepared
            self.node = self.node.set(prepared=prepared.discard(name) if digest is None else prepared.set(name, digest))

    # -- failures --------------------------------------------------------------------------------------------------

    def failed(self, key: UUID | str, error: ReportedError) -> None:
        """
        The last thing that went wrong with a dataset or container.
        """
        before = self.node.failures.get(str(key))
        if before is None or before.set(at_seconds=error.at_seconds) != error:
            self.node = self.node.set(failures=self.node.failures.set(str(key), error))

    def succeeded(self, key: UUID | str) -> None:
        """
        Nothing is wrong with it any more.
        """
        if str(key) in self.node.failures:
            self.node = self.node.set(failures=self.node.failures.discard(str(key)))

    # -- waiting ---------------------------------------------------------------------------------------------------

    def waits(self, key: UUID | str, reason: str) -> None:
        """
        What a dataset or container waits for; empty: nothing.
        """
        if self.node.waiting.get(str(key), "") != reason:
            waiting = self.node.waiting
            waiting = waiting.set(str(key), reason) if reason else waiting.discard(str(key))
            self.node = self.node.set(waiting=waiting)


def stash_observation(name: str, stash: StoredDataset) -> StashObservation:
    """
    What is told of something that was put aside.
    """
    return StashObservation(
        name=name,
        dataset_id=stash.dataset_id,
        role=stash.role,
        epoch=stash.epoch,
        since_seconds=kept_seconds(stash, STASHED_AT),
        expires_at_seconds=kept_seconds(stash, EXPIRES_AT),
        used_bytes=stash.used_bytes,
        guids=pvector(snapshot.guid for snapshot in stash.snapshots),
        newest_at_seconds=stash.snapshots[-1].created_at_seconds if stash.snapshots else None,
        path=stash.mounted_at,
    )
