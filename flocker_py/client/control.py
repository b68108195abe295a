"""
The asynchronous client of the control service: ``/v2``, and with ``v1`` what Flocker's clients speak.

Requests that change nothing, and those that can be made twice without harm, are tried again when they fail; a create
whose answer was lost is looked for, by its id or name. Everything else is tried again only if it certainly never
arrived; otherwise the error says that it may have.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import UUID, uuid4

from flocker_py.client.addresses import ControlAddress
from flocker_py.client.connection import Connection
from flocker_py.client.errors import ControlUnreachable, NotFound, OutcomeUnknown, RequestRefused, RevisionChanged
from flocker_py.client.flocker import FlockerClient
from flocker_py.client.retrying import Patience
from flocker_py.client.sse import Event
from flocker_py.client.views import (
    AppliedView,
    ContainersView,
    ContainerView,
    CopiesView,
    DatasetsView,
    DatasetView,
    ExplanationView,
    LeasesView,
    MovesView,
    MoveView,
    NodesView,
    OriginView,
    PlanView,
    StashesView,
    StashView,
    StatusView,
    UnclaimedView,
)
from flocker_py.credentials import Credential
from flocker_py.model import DatasetId, MoveId, Origin
from flocker_py.records import Record

R = TypeVar("R", bound=Record)

_APPLY_TRIES = 5
"""How often a plan is made again when the cluster has changed, but not in what concerns it."""


class ControlClient:
    """
    One control service, as one user. Every method but ``close`` may raise what ``answer`` does.

    :param credential: the user's.
    :param addresses: one or several of the control service, tried in turn; a text may have several, with commas.
        Whoever answers must be the control service of the credential's cluster, at every address.
    :param patience: how long is waited, and how often a request is tried.
    :param new_id: makes the ids of new datasets.
    :ivar v1: the same service as Flocker's clients see it.
    :raises AddressUnreadable: an address is none.
    """

    def __init__(
        self,
        reactor: Any,
        credential: Credential,
        addresses: str | ControlAddress | Iterable[str | ControlAddress],
        *,
        patience: Patience | None = None,
        new_id: Callable[[], UUID] = uuid4,
    ) -> None:
        self._connection = Connection(reactor, credential, addresses, Patience() if patience is None else patience)
        self._new_id = new_id
        self.v1 = FlockerClient(self._connection, new_id)

    @property
    def address(self) -> str:
        """
        The address that answered last; at first, the one that is tried first.
        """
        return self._connection.address

    async def close(self) -> None:
        """
        Close the connections that are kept open.
        """
        await self._connection.close()

    # -- what there is -------------------------------------------------------------------------------------------------

    async def nodes(self) -> NodesView:
        """
        All nodes.
        """
        return await self.read("/v2/nodes", NodesView)

    async def datasets(self) -> DatasetsView:
        """
        All datasets, those that are being deleted too.
        """
        return await self.read("/v2/datasets", DatasetsView)

    async def dataset(self, dataset: str) -> DatasetView:
        """
        One dataset.

        :param dataset: id or name.
        :raises NotFound: there is none.
        """
        return await self.read(f"/v2/datasets/{_quoted(dataset)}", DatasetView)

    async def containers(self) -> ContainersView:
        """
        All containers that are wanted.
        """
        return await self.read("/v2/containers", ContainersView)

    async def moves(self) -> MovesView:
        """
        The moves under way, and of each dataset the last one that ended.
        """
        return await self.read("/v2/moves", MovesView)

    async def move(self, move_id: MoveId) -> MoveView:
        """
        One move.

        :raises NotFound: it is not remembered.
        """
        return await self.read(f"/v2/moves/{move_id}", MoveView)

    async def explanation(self, dataset: str) -> ExplanationView:
        """
        Why a dataset is not yet where it should be, or that it is.

        :raises NotFound: there is none.
        """
        return await self.read(f"/v2/datasets/{_quoted(dataset)}/explain", ExplanationView)

    async def copies(self, dataset: str) -> CopiesView:
        """
        All that is known of a dataset's copies.

        :raises NotFound: there is no such dataset.
        """
        return await self.read(f"/v2/datasets/{_quoted(dataset)}/copies", CopiesView)

    async def unclaimed(self) -> UnclaimedView:
        """
        Datasets that nodes have and the control service has no record of.
        """
        return await self.read("/v2/unclaimed", UnclaimedView)

    async def leases(self) -> LeasesView:
        """
        The leases that users hold on datasets.
        """
        return await self.read("/v2/leases", LeasesView)

    async def stashes(self) -> StashesView:
        """
        What nodes have put aside.
        """
        return await self.read("/v2/stashes", StashesView)

    async def stash(self, stash: StashView) -> StashView:
        """
        A stash as it is now.

        :raises NotFound: it is gone, or its node has no connection.
        """
        return await self.read(_stash_path(stash), StashView)

    async def status(self) -> StatusView:
        """
        How the control service does.
        """
        return await self.read("/v2/status", StatusView)

    async def container(self, name: str) -> ContainerView:
        """
        One container.

        :raises NotFound: there is none.
        """
        return await self.read(f"/v2/containers/{_quoted(name)}", ContainerView)

    # -- what shall be -------------------------------------------------------------------------------------------------

    async def create_dataset(
        self,
        primary: str,
        *,
        name: str | None = None,
        dataset_id: DatasetId | None = None,
        maximum_size_bytes: int | None = None,
        metadata: Mapping[str, str] | None = None,
        origin: Origin | None = None,
        **policies: str | float,
    ) -> DatasetView:
        """
        Want a new dataset. The id is chosen here, so that it is found if the answer is lost, and never made twice.

        :param primary: the node's id, name or address.
        :param name: unique among datasets that aren't deleted.
        :param dataset_id: None: a new one.
        :param origin: make it from that, a snapshot of a dataset that the primary owns; None: empty.
        :param policies: ``max_downtime_seconds``, ``on_overrun``, ``on_start_failure``, ``on_partition``.
        :raises RequestRefused: the id or the name is in use, or something else is wrong.
        :raises OutcomeUnknown: it may have been made; ask again with the id that is its ``key``.
        """
        wanted_id = DatasetId(self._new_id()) if dataset_id is None else dataset_id
        optional: dict[str, object] = {"name": name, "maximum_size_bytes": maximum_size_bytes, "metadata": metadata}
        given = {field: found for field, found in optional.items() if found is not None}
        body = {"dataset_id": str(wanted_id), "primary": primary, **given, **policies}
        if metadata is not None:
            body["metadata"] = dict(metadata)
        if origin is not None:
            body["origin"] = {"dataset": str(origin.dataset_id), "snapshot": origin.snapshot}
        try:
            return self._seen(DatasetView, await self.answer("POST", "/v2/datasets", body, harmless=True))
        except RequestRefused as error:
            if not error.doubtful:
                raise
            made = await self._made(wanted_id)
            begun = None if origin is None else OriginView(dataset_id=origin.dataset_id, snapshot=origin.snapshot)
            alike = made is not None and (
                (made.name, made.maximum_size_bytes, dict(made.metadata), made.origin)
                == (name, maximum_size_bytes, dict(metadata or {}), begun)
            )
            # An id that was made here is nobody else's, whatever has become of the dataset meanwhile.
            if made is None or not (dataset_id is None or alike):
                raise
            return made
        except ControlUnreachable as error:
            if not error.arrived:
                raise
            raise OutcomeUnknown(str(error), str(wanted_id)) from error

    async def _made(self, dataset_id: DatasetId) -> DatasetView | None:
        try:
            return await self.dataset(str(dataset_id))
        except NotFound:
            return None

    async def change_dataset(self, dataset_id: DatasetId, **changes: object) -> DatasetView:
        """
        Want a dataset otherwise.

        :param dataset_id: its id: a name may be another dataset's when the request is made again.
        :param changes: of ``name``, ``primary``, ``maximum_size_bytes``, ``metadata``, the policies that
            ``create_dataset`` has, ``when_released`` and ``force``.
        :raises NotFound: there is none.
        """
        return self._seen(DatasetView, await self.answer("PATCH", f"/v2/datasets/{dataset_id}", changes, harmless=True))

    async def delete_dataset(
        self, dataset_id: DatasetId, *, when_released: bool = False, force: bool = False
    ) -> DatasetView:
        """
        Want a dataset no more; its data is destroyed.

        :param dataset_id: its id: a name may be another dataset's when the request is made again.
        :param when_released: if it is leased, when the lease ends; ``force``: although it is leased. One of them.
        :raises NotFound: there is none.
        :raises RequestRefused: a container uses it, or it is leased.
        """
        asked = [word for word, wanted in (("when_released", when_released), ("force", force)) if wanted]
        query = "".join(f"{mark}{word}=true" for mark, word in zip("?&", asked, strict=False))
        return self._seen(DatasetView, await self.answer("DELETE", f"/v2/datasets/{dataset_id}{query}", harmless=True))

    async def put_container(self, name: str, definition: Mapping[str, object]) -> ContainerView:
        """
        Run a container, or run it as something else: what is left out gets its default.

        :param definition: the fields of the API's ``PutContainer``; ``node`` is one.
        :raises RequestRefused: that can't be.
        """
        path = f"/v2/containers/{_quoted(name)}"
        return self._seen(ContainerView, await self.answer("PUT", path, dict(definition), harmless=True))

    async def remove_container(self, name: str) -> None:
        """
        Run a container no more; its datasets stay.

        :raises NotFound: there is none.
        :raises ControlUnreachable: if ``arrived``, it may be removed all the same.
        """
        await self.answer("DELETE", f"/v2/containers/{_quoted(name)}")

    async def plan(self, document: object) -> PlanView:
        """
        What applying a deployment document would change. Changes nothing.

        :raises DeploymentRefused: it can't be done as it is written.
        """
        return self._seen(PlanView, await self.answer("POST", "/v2/plan", {"deployment": document}, harmless=True))

    async def apply(self, document: object, revision: int) -> AppliedView:
        """
        Apply a deployment document, all of it or nothing.

        :param revision: of the plan that was looked at.
        :raises RevisionChanged: the cluster has changed since; nothing was done.
        :raises DeploymentRefused: it can't be done as it is written.
        :raises ControlUnreachable: if ``arrived``, it may have been done.
        """
        return self._seen(
            AppliedView, await self.answer("POST", "/v2/apply", {"deployment": document, "revision": revision})
        )

    async def apply_planned(self, document: object, plan: PlanView) -> AppliedView:
        """
        Apply what was planned. The revision grows with whatever happens in the cluster; as long as that leaves the same
        changes to be made, they are what the user has seen. An answer that is lost is found out about.

        :param plan: of the document.
        :raises RevisionChanged: other changes would have to be made by now; nothing was done.
        :raises ControlUnreachable: if ``arrived``, it may have been done.
        """
        revision = plan.revision
        for left in reversed(range(_APPLY_TRIES)):
            try:
                return await self.apply(document, revision)
            except RevisionChanged:
                again = await self.plan(document)
                if left == 0 or again.steps != plan.steps:
                    raise
                revision = again.revision
            except ControlUnreachable as error:
                if not error.arrived:
                    raise
                # The answer was lost: if nothing is left to change, it was done.
                again = await self.plan(document)
                if not again.steps:
                    return AppliedView(revision=again.revision, steps=plan.steps)
                if again.steps != plan.steps or left == 0:
                    raise
                revision = again.revision
        raise AssertionError("the last round returns or raises")

    async def start_move(
        self, dataset: str, target: str, *, when_released: bool = False, force: bool = False
    ) -> MoveView:
        """
        Move a dataset, with the container that uses it.

        :param dataset: id or name; ``target``: a node's.
        :param when_released: if it is leased, when the lease ends; ``force``: although it is leased. One of them.
        :raises NotFound: there is no such dataset or node.
        """
        body = {"dataset": dataset, "target": target, "when_released": when_released, "force": force}
        # Asking twice is answered with the move that is under way.
        return self._seen(MoveView, await self.answer("POST", "/v2/moves", body, harmless=True))

    async def acquire_lease(self, dataset: str, node: str, seconds: float | None) -> dict[str, Any]:
        """
        Hold a dataset for a node, or go on holding it. Answers with the lease.

        :param dataset: id or name; ``node``: the same.
        :param seconds: from now; None: until it is released.
        :raises RequestRefused: it is held for another node.
        """
        body = {"node": node, "seconds": seconds}
        # Asking twice is answered with the lease that is held by then.
        found: dict[str, Any] = await self.answer("PUT", f"/v2/leases/{_quoted(dataset)}", body, harmless=True)
        return found

    async def release_lease(self, dataset: str, *, node: str | None = None) -> dict[str, Any]:
        """
        End the lease on a dataset. Answers with its id.

        :param node: by id or name: only if it is held for this node; None: whoever holds it.
        :raises NotFound: there is no such dataset, or nobody holds a lease of it.
        :raises RequestRefused: it is held for another node.
        """
        query = "" if node is None else f"?node={_quoted(node)}"
        path = f"/v2/leases/{_quoted(dataset)}{query}"
        found: dict[str, Any] = await self.answer("DELETE", path)
        return found

    async def fail_over(
        self, dataset: str, target: str, guids: Mapping[DatasetId, str], *, owner_is_dead: bool
    ) -> dict[str, Any]:
        """
        Give a dataset whose owner is gone to a node that has a copy. Answers with the dataset.

        :param guids: the newest snapshot there, per dataset, as it was shown.
        :raises RequestRefused: that can't be, or is not what was shown.
        """
        body = {
            "target": target,
            "guids": {str(dataset_id): guid for dataset_id, guid in guids.items()},
            "owner_is_dead": owner_is_dead,
        }
        return await self._changed(f"/v2/datasets/{_quoted(dataset)}/failover", body)

    async def adopt(self, dataset: str, node: str, epoch: int, *, others_are_dead: bool) -> dict[str, Any]:
        """
        Take what a node has for a dataset. Answers with the dataset.

        :raises RequestRefused: that can't be.
        """
        body = {"node": node, "epoch": epoch, "others_are_dead": others_are_dead}
        return await self._changed(f"/v2/datasets/{_quoted(dataset)}/adopt", body)

    async def change_stash(self, stash: StashView, *, mounted: bool) -> StashView:
        """
        Want a stash readable, or not.
        """
        return self._seen(
            StashView, await self.answer("PATCH", _stash_path(stash), {"mounted": mounted}, harmless=True)
        )

    async def drop_stash(self, stash: StashView, confirmed: str) -> dict[str, Any]:
        """
        Destroy a stash, for good.

        :param confirmed: its name, as the user gave it.
        :raises RequestRefused: that isn't its name.
        """
        return await self._changed(f"{_stash_path(stash)}/drop", {"confirm": confirmed})

    async def restore_stash(self, stash: StashView, epoch: int, *, owner_is_dead: bool) -> dict[str, Any]:
        """
        Make a stash the dataset again. Answers with the dataset.

        :param epoch: of the dataset, as it was shown.
        :raises RequestRefused: that can't be.
        """
        return await self._changed(f"{_stash_path(stash)}/restore", {"epoch": epoch, "owner_is_dead": owner_is_dead})

    async def _changed(self, path: str, body: object) -> dict[str, Any]:
        answer: dict[str, Any] = await self.answer("POST", path, body)
        return answer

    async def cancel_move(self, move_id: MoveId) -> MoveView:
        """
        Let a dataset stay where it is.

        :raises RequestRefused: it is past the commit point, or has ended.
        """
        return self._seen(MoveView, await self.answer("DELETE", f"/v2/moves/{move_id}"))

    # -- nodes ---------------------------------------------------------------------------------------------------------

    async def drain_node(self, node: str, *, dry_run: bool) -> Any:
        """
        Move everything off a node that finds a place elsewhere; the answer as it came.

        :param node: id or name.
        :raises NotFound: there is no such node.
        """
        # Draining what is drained already places what had stayed.
        return await self.answer("POST", f"/v2/nodes/{_quoted(node)}/drain", {"dry_run": dry_run}, harmless=True)

    async def undrain_node(self, node: str) -> Any:
        """
        Let a node be used again; the node as it came.

        :raises NotFound: there is no such node.
        """
        return await self.answer("POST", f"/v2/nodes/{_quoted(node)}/undrain", {}, harmless=True)

    async def remove_node(self, node: str, *, is_dead: bool) -> Any:
        """
        Take a node that has nothing any more out of the cluster; the node as it came.

        :param is_dead: it never comes back, and nothing is waited for that it may still have.
        :raises NotFound: there is no such node.
        :raises RequestRefused: it still has something; the text names everything.
        """
        return await self.answer("DELETE", f"/v2/nodes/{_quoted(node)}{'?is_dead=true' if is_dead else ''}")

    async def readmit_node(self, node: str) -> Any:
        """
        Let a node that was removed in again; the node as it came.

        :param node: its id, or the name that it had.
        :raises NotFound: there is no such node.
        """
        return await self.answer("POST", f"/v2/nodes/{_quoted(node)}/readmit", {}, harmless=True)

    # -- events --------------------------------------------------------------------------------------------------------

    async def events(self, begun_at: int) -> AsyncIterator[Event]:
        """
        What happens in the cluster, one after the other, from a revision on. Ends when the connection does.

        :param begun_at: the last revision that is known already.
        :raises EventsGone: not everything since then is remembered.
        """
        async for event in self._connection.events(f"/v2/events?from={begun_at}"):
            yield event

    # -- calls ---------------------------------------------------------------------------------------------------------

    async def read(self, path: str, kind: type[R]) -> R:
        """
        What a path answers, as a record.
        """
        return await self._connection.read(path, kind)

    async def answer(self, method: str, path: str, body: object = None, *, harmless: bool = False) -> Any:
        """
        What the control service answers, as a JSON value.

        :param harmless: doing it twice does no harm, so it is tried again even if it may have arrived.
        :raises ControlUnreachable: no address can be reached, or none answers in time; ``arrived`` says whether it may
            have been done all the same.
        :raises ControlNotTrusted: one of both has the wrong certificate.
        :raises RequestRefused: with an error of the API; one of its subclasses where there is one.
        :raises ControlFailed: something went wrong there.
        :raises AnswerUnreadable: that was no answer of this API.
        """
        return (await self._connection.answer(method, path, body, harmless=harmless)).value

    def _seen(self, kind: type[R], data: object) -> R:
        return self._connection.seen(kind, data)


def _stash_path(stash: StashView) -> str:
    return f"/v2/stashes/{stash.node_id}/{_quoted(stash.name)}"


def _quoted(name: str) -> str:
    return quote(name, safe="")
