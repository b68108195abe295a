"""
The control service as Flocker's clients see it: ``/v1``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote
from uuid import UUID

from pyrsistent import pmap, pvector

from flocker_py.client.connection import Connection
from flocker_py.client.errors import (
    AnswerUnreadable,
    ConfigurationChanged,
    ControlUnreachable,
    NameTaken,
    OutcomeUnknown,
    RequestRefused,
)
from flocker_py.client.views_v1 import (
    V1Container,
    V1Dataset,
    V1Datasets,
    V1DatasetState,
    V1Lease,
    V1Node,
    body_of,
    is_as_wanted,
    with_all_fields,
)
from flocker_py.model import DatasetId, NodeId

TAG_HEADER = "X-Configuration-Tag"
CONDITION_HEADER = "X-If-Configuration-Matches"

_DATASETS = "/v1/configuration/datasets"
_CONTAINERS = "/v1/configuration/containers"
_LEASES = "/v1/configuration/leases"
# Each conflict is a change that somebody else made, so that the cluster as a whole goes on.
_CONDITIONAL_TRIES = 100


class FlockerClient:
    """
    One control service, as one user. Every method may raise what ``ControlClient.answer`` does.

    It comes with a ``ControlClient``, as its ``v1``.
    """

    def __init__(self, connection: Connection, new_id: Callable[[], UUID]) -> None:
        self._connection = connection
        self._new_id = new_id

    async def version(self) -> str:
        """
        The version of Flocker that is spoken.
        """
        found = (await self._connection.answer("GET", "/v1/version", harmless=True)).value
        if not isinstance(found, dict) or not isinstance(found.get("flocker"), str):
            raise AnswerUnreadable(f"{self._connection.address}: the answer is no version")
        return str(found["flocker"])

    async def nodes(self) -> list[V1Node]:
        """
        The connected nodes.
        """
        answer = await self._connection.answer("GET", "/v1/state/nodes", harmless=True)
        return self._connection.seen_all(V1Node, answer.value)

    # -- datasets ------------------------------------------------------------------------------------------------------

    async def datasets(self) -> V1Datasets:
        """
        What is wanted of all datasets, with the present tag.
        """
        answer = await self._connection.answer("GET", _DATASETS, harmless=True)
        if TAG_HEADER.lower() not in answer.headers:
            raise AnswerUnreadable(f"{self._connection.address}: the answer has no {TAG_HEADER}")
        found = self._connection.seen_all(V1Dataset, answer.value)
        return V1Datasets(tag=answer.headers[TAG_HEADER.lower()], datasets=pvector(found))

    async def dataset_states(self) -> list[V1DatasetState]:
        """
        Where datasets are.
        """
        answer = await self._connection.answer("GET", "/v1/state/datasets", harmless=True)
        return self._connection.seen_all(V1DatasetState, answer.value)

    async def create_dataset(
        self,
        primary: NodeId,
        *,
        dataset_id: DatasetId | None = None,
        maximum_size: int | None = None,
        metadata: Mapping[str, str] | None = None,
        tag: str | None = None,
    ) -> V1Dataset:
        """
        Want a new dataset. The id is chosen here, so that it is found if the answer is lost, and never made twice.

        :param dataset_id: None: a new one.
        :param maximum_size: in bytes; None: no limit.
        :param tag: do it only if this is the present one.
        :raises ConfigurationChanged: the tag is another by now.
        :raises RequestRefused: the id is in use, or something else is wrong.
        :raises OutcomeUnknown: it may have been made; ask again with the id that is its ``key``.
        """
        wanted = V1Dataset(
            dataset_id=DatasetId(self._new_id()) if dataset_id is None else dataset_id,
            primary=primary,
            deleted=False,
            metadata=pmap(metadata or {}),
            maximum_size=maximum_size,
        )
        try:
            return await self._created(wanted, tag)
        except RequestRefused as error:
            made = (await self.datasets()).identified(wanted.dataset_id) if error.doubtful else None
            # An id that was made here is nobody else's, whatever has become of the dataset meanwhile.
            if made is None or not (dataset_id is None or made == wanted):
                raise
            return made

    async def create_dataset_named(
        self,
        name: str,
        primary: NodeId,
        *,
        maximum_size: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> V1Dataset:
        """
        Want a new dataset with a ``name`` in its metadata that no other has: also if several clients ask at once, only
        one dataset of that name is made, by one of them.

        :param maximum_size: in bytes; None: no limit.
        :param metadata: further entries.
        :raises NameTaken: there is one, or somebody else was quicker; it is the error's ``dataset``.
        :raises OutcomeUnknown: it may have been made: then asking again raises NameTaken, with the id that is ``key``.
        """
        wanted = V1Dataset(
            dataset_id=DatasetId(self._new_id()),
            primary=primary,
            deleted=False,
            metadata=pmap({**(metadata or {}), "name": name}),
            maximum_size=maximum_size,
        )
        for left in reversed(range(_CONDITIONAL_TRIES)):
            listed = await self.datasets()
            made = listed.identified(wanted.dataset_id)
            if made is not None:
                # The answer to an earlier try was lost.
                return made
            taken = listed.named(name)
            if taken is not None:
                raise NameTaken(name, taken)
            try:
                return await self._created(wanted, listed.tag)
            except RequestRefused as error:
                if left == 0 or not (error.doubtful or isinstance(error, ConfigurationChanged)):
                    raise
        raise AssertionError("the last round returns or raises")

    async def _created(self, wanted: V1Dataset, tag: str | None) -> V1Dataset:
        body = {name: found for name, found in body_of(wanted).items() if name != "deleted"}
        headers = {} if tag is None else {CONDITION_HEADER: tag}
        try:
            answer = await self._connection.answer("POST", _DATASETS, body, harmless=True, headers=headers)
        except ControlUnreachable as error:
            if not error.arrived:
                raise
            raise OutcomeUnknown(str(error), str(wanted.dataset_id)) from error
        return self._connection.seen(V1Dataset, answer.value)

    async def move_dataset(self, dataset_id: DatasetId, primary: NodeId) -> V1Dataset:
        """
        Want a dataset elsewhere.

        :raises NotFound: there is none.
        :raises RequestRefused: it is deleted, or leased, or a container uses it.
        """
        answer = await self._connection.answer(
            "POST", f"{_DATASETS}/{dataset_id}", {"primary": str(primary)}, harmless=True
        )
        return self._connection.seen(V1Dataset, answer.value)

    async def delete_dataset(self, dataset_id: DatasetId) -> V1Dataset:
        """
        Want a dataset no more; its data is destroyed. Doing it again changes nothing.

        :raises NotFound: there is none.
        :raises RequestRefused: it is leased, or a container uses it.
        """
        answer = await self._connection.answer("DELETE", f"{_DATASETS}/{dataset_id}", harmless=True)
        return self._connection.seen(V1Dataset, answer.value)

    # -- leases --------------------------------------------------------------------------------------------------------

    async def leases(self) -> list[V1Lease]:
        """
        The leases that are held.
        """
        answer = await self._connection.answer("GET", _LEASES, harmless=True)
        return self._connection.seen_all(V1Lease, answer.value)

    async def acquire_lease(self, dataset_id: DatasetId, node: NodeId, expires: float | None) -> V1Lease:
        """
        Hold a dataset for a node, or go on holding it: doing it again only renews the lease.

        :param expires: in so many seconds; None: it lasts until it is released.
        :raises RequestRefused: it is held for another node.
        """
        body = {"dataset_id": str(dataset_id), "node_uuid": str(node), "expires": expires}
        answer = await self._connection.answer("POST", _LEASES, body, harmless=True)
        return self._connection.seen(V1Lease, answer.value)

    async def release_lease(self, dataset_id: DatasetId) -> V1Lease:
        """
        Hold a dataset no more, whoever does.

        :raises NotFound: nobody does.
        :raises ControlUnreachable: if ``arrived``, it may be released all the same. It is not tried again then: by now,
            somebody else may hold the dataset.
        """
        answer = await self._connection.answer("DELETE", f"{_LEASES}/{dataset_id}", harmless=False)
        return self._connection.seen(V1Lease, answer.value)

    # -- containers ----------------------------------------------------------------------------------------------------

    async def containers(self) -> list[V1Container]:
        """
        What is wanted of all containers.
        """
        answer = await self._connection.answer("GET", _CONTAINERS, harmless=True)
        return self._containers(answer.value)

    async def container_states(self) -> list[V1Container]:
        """
        Where containers are, and whether they are ``running``.
        """
        answer = await self._connection.answer("GET", "/v1/state/containers", harmless=True)
        return self._containers(answer.value)

    def _containers(self, data: object) -> list[V1Container]:
        filled = [with_all_fields(each) for each in data] if isinstance(data, list) else data
        return self._connection.seen_all(V1Container, filled)

    async def create_container(self, wanted: V1Container) -> V1Container:
        """
        Run a new container. If the answer is lost, one that is as wanted, in every field, is taken for it.

        :raises RequestRefused: the name is in use, or something else is wrong.
        :raises OutcomeUnknown: it may have been made; ask again, and see what has the name that is its ``key``.
        """
        try:
            answer = await self._connection.answer("POST", _CONTAINERS, body_of(wanted), harmless=True)
        except RequestRefused as error:
            made = await self._made(wanted) if error.doubtful else None
            if made is None:
                raise
            return made
        except ControlUnreachable as error:
            if not error.arrived:
                raise
            raise OutcomeUnknown(str(error), wanted.name) from error
        return self._connection.seen(V1Container, with_all_fields(answer.value))

    async def _made(self, wanted: V1Container) -> V1Container | None:
        found = (each for each in await self.containers() if is_as_wanted(each, wanted))
        return next(found, None)

    async def move_container(self, name: str, node: NodeId) -> V1Container:
        """
        Run a container elsewhere. Its dataset goes with it.

        :raises NotFound: there is none.
        """
        path = f"{_CONTAINERS}/{quote(name, safe='')}"
        answer = await self._connection.answer("POST", path, {"node_uuid": str(node)}, harmless=True)
        return self._connection.seen(V1Container, with_all_fields(answer.value))

    async def delete_container(self, name: str) -> None:
        """
        Run a container no more. Its dataset stays.

        :raises NotFound: there is none.
        :raises ControlUnreachable: if ``arrived``, it may be gone all the same.
        """
        await self._connection.answer("DELETE", f"{_CONTAINERS}/{quote(name, safe='')}", harmless=False)
