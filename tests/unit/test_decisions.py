"""
What users ask: what it changes, and why it is refused.
"""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

import pytest
from pyrsistent import pmap, pvector

from flocker_control import decisions
from flocker_control.commands import (
    ApplyAll,
    CancelMove,
    ChangeMetadata,
    ChangeMovePolicy,
    ChangePartitionPolicy,
    ChangePrimary,
    Command,
    CreateDataset,
    DeleteDataset,
    DrainNode,
    PutContainer,
    PutNode,
    ReadmitNode,
    RemoveContainer,
    RemoveNode,
    RenameDataset,
    ResizeDataset,
    StartMove,
    UndrainNode,
)
from flocker_control.membership import removed_text
from flocker_control.refusals import Refusal, RefusalCode
from flocker_control.state import Changes, State, Stored, changed
from flocker_py.model import (
    Container,
    ContainerName,
    Dataset,
    DatasetId,
    FinishedMove,
    Guid,
    HealthCheck,
    Link,
    Mount,
    Move,
    MoveId,
    MoveOutcome,
    MovePhase,
    Node,
    NodeId,
    Origin,
    OverrunPolicy,
    Ownership,
    PartitionPolicy,
    Port,
    PullPolicy,
    RestartName,
    RestartPolicy,
    StartFailurePolicy,
)
from flocker_py.observed import (
    ContainerObservation,
    ContainerPhase,
    DatasetObservation,
    NodeObservation,
    StashObservation,
)
from flocker_py.storage import Role

A, B, C = (NodeId(UUID(int=number)) for number in (0xA, 0xB, 0xC))
D1, D2, D3 = (DatasetId(UUID(int=number)) for number in (0xD1, 0xD2, 0xD3))
MOVE = MoveId(UUID(int=0xE))
MIB = 1024**2


def dataset(dataset_id: DatasetId = D1, primary: NodeId = A, **fields: Any) -> Dataset:
    """
    A dataset as it is wanted.
    """
    return Dataset(dataset_id=dataset_id, primary=primary, **fields)


def move_policy(
    max_downtime_seconds: float,
    on_overrun: OverrunPolicy,
    on_start_failure: StartFailurePolicy = StartFailurePolicy.GO_BACK,
) -> ChangeMovePolicy:
    """
    Other rules for the moves of the dataset.
    """
    return ChangeMovePolicy(
        dataset_id=D1,
        max_downtime_seconds=max_downtime_seconds,
        on_overrun=on_overrun,
        on_start_failure=on_start_failure,
    )


def ownership(dataset_id: DatasetId = D1, owner: NodeId = A, **fields: Any) -> Ownership:
    """
    An ownership of a dataset that has been made.
    """
    return Ownership(dataset_id=dataset_id, owner=owner, created=True, **fields)


def moving(dataset_id: DatasetId = D1, phase: MovePhase = MovePhase.COPYING, **fields: Any) -> Ownership:
    """
    The ownership of a dataset that moves from A to B.
    """
    move = Move(move_id=MOVE, source=A, target=B, phase=phase, started_at_seconds=1.0)
    return ownership(dataset_id, A if phase is not MovePhase.TAKING else B, move=move, **fields)


def container(name: str = "web", node: NodeId = A, *mounted: DatasetId, **fields: Any) -> Container:
    """
    A container that runs a program and mounts datasets.
    """
    mounts = pvector(Mount(dataset_id=dataset_id) for dataset_id in mounted)
    fields.setdefault("command", pvector(["/bin/serve"]))
    return Container(name=ContainerName(name), node_id=node, mounts=mounts, **fields)


def state(*records: Stored) -> State:
    """
    Nodes A and B, called alpha and beta, and these records.
    """
    nodes = (Node(node_id=A, name="alpha"), Node(node_id=B, name="beta"))
    return changed(State(), Changes().put(*nodes, *records), revision=5)


def decide(
    present: State, command: Command, fields: tuple[str, ...] = ("command", "mounts", "ports", "environment")
) -> Changes | Refusal:
    """
    The decision, where node A is there and its runtime can do these fields.
    """
    return decisions.decide(present, command, pmap({A: node_report(A).set(container_fields=pvector(fields))}))


def node_report(node_id: NodeId, *datasets: DatasetObservation) -> NodeObservation:
    """
    A node that has these datasets.
    """
    return NodeObservation(
        node_id=node_id,
        era=UUID(int=1),
        address="192.0.2.1",
        transfer_port=4525,
        version="1",
        storage="memory",
        runtime="process",
        datasets=pmap({dataset.dataset_id: dataset for dataset in datasets}),
    )


def observation(dataset_id: DatasetId, used_bytes: int) -> DatasetObservation:
    """
    A dataset as its owner reports it.
    """
    return DatasetObservation(dataset_id=dataset_id, role=Role.OWNER, epoch=1, used_bytes=used_bytes)


def refusal(present: State, command: Command) -> tuple[RefusalCode, str]:
    """
    Why a command is refused.
    """
    decision = decide(present, command)
    assert isinstance(decision, Refusal)
    return decision.code, decision.text


def puts(*records: Stored) -> Changes:
    """
    The changes that put these records.
    """
    return Changes().put(*records)


OWNED = (dataset(), ownership())


class TestCreateDataset:
    """
    New datasets.
    """

    def test_dataset_and_its_first_owner(self) -> None:
        """
        A new dataset belongs to its primary, under the first epoch, and has not been made yet.
        """
        command = CreateDataset(
            dataset_id=D1, primary=A, name="pg", maximum_size_bytes=64 * MIB, metadata=pmap({"a": "b"})
        )

        expected = puts(
            dataset(name="pg", maximum_size_bytes=64 * MIB, metadata=pmap({"a": "b"})),
            Ownership(dataset_id=D1, owner=A, epoch=1, created=False),
        )
        assert expected == decide(state(), command)

    def test_primary_may_be_unknown(self) -> None:
        """
        The primary may be a node that nobody has seen yet.
        """
        decision = decide(state(), CreateDataset(dataset_id=D1, primary=C))

        assert isinstance(decision, Changes)

    @pytest.mark.parametrize("deleted", [False, True])
    def test_id_in_use(self, deleted: bool) -> None:
        """
        An id is never used twice, not even that of a deleted dataset.
        """
        present = state(dataset(deleted=deleted), ownership())

        code, text = refusal(present, CreateDataset(dataset_id=D1, primary=A))
        assert (RefusalCode.DATASET_ID_IN_USE, True) == (code, str(D1) in text)

    def test_id_of_data_on_a_node(self) -> None:
        """
        An id under which a node has data isn't given to a new dataset: what is there would be hidden by an empty one.
        """
        observed = pmap({A: node_report(A, observation(D1, 0))})

        decision = decisions.decide(state(), CreateDataset(dataset_id=D1, primary=B), observed)

        assert isinstance(decision, Refusal)
        assert RefusalCode.DATASET_ID_IN_USE == decision.code

    def test_from_a_snapshot(self) -> None:
        """
        A dataset may begin as a snapshot of another one, on the node that owns that.
        """
        made = decide(state(dataset(), ownership()), self.COPY)

        assert isinstance(made, Changes)
        assert made.puts[f"dataset/{D2}"] == dataset(D2, origin=self.COPY.origin)

    COPY = CreateDataset(dataset_id=D2, primary=A, origin=Origin(dataset_id=D1, snapshot="monday"))
    NO_COPY: ClassVar[dict[str, tuple[RefusalCode, State, CreateDataset]]] = {
        "of nothing": (RefusalCode.DATASET_UNKNOWN, state(), COPY),
        "of what is deleted": (RefusalCode.DATASET_DELETED, state(dataset(deleted=True), ownership()), COPY),
        "of what was never made": (RefusalCode.NEVER_MADE, state(dataset(), ownership().set(created=False)), COPY),
        "of what is elsewhere": (RefusalCode.DATASET_ELSEWHERE, state(dataset(), ownership()), COPY.set(primary=B)),
        "of no snapshot": (
            RefusalCode.VALUE_REFUSED,
            state(dataset(), ownership()),
            COPY.set(origin=Origin(dataset_id=D1, snapshot="a@b")),
        ),
    }

    @pytest.mark.parametrize("case", NO_COPY)
    def test_no_copy(self, case: str) -> None:
        """
        What can't be copied is refused before anything is made.
        """
        expected, present, command = self.NO_COPY[case]

        assert refusal(present, command)[0] == expected

    def test_name_in_use(self) -> None:
        """
        Two datasets can't have one name.
        """
        present = state(dataset(name="pg"), ownership())

        assert RefusalCode.NAME_IN_USE == refusal(present, CreateDataset(dataset_id=D2, primary=A, name="pg"))[0]

    def test_name_of_a_deleted_one(self) -> None:
        """
        The name of a deleted dataset is free.
        """
        present = state(dataset(name="pg", deleted=True), ownership())

        assert isinstance(decide(present, CreateDataset(dataset_id=D2, primary=A, name="pg")), Changes)

    @pytest.mark.parametrize(
        ("fields", "complaint"),
        [
            ({"maximum_size_bytes": 64 * MIB - 1024}, "less than the smallest size"),
            ({"maximum_size_bytes": 64 * MIB + 1}, "multiple of 1024"),
            ({"maximum_size_bytes": 2**63}, "more than the largest size"),
            ({"name": ""}, "name ''"),
            ({"name": "-x"}, "name '-x'"),
            ({"name": "x\n"}, "name"),
            ({"name": "x" * 64}, "1 to 63"),
            ({"name": "00000000-0000-0000-0000-0000000000D1"}, "mistaken for an id"),
            ({"metadata": pmap({str(number): "" for number in range(17)})}, "at most 16"),
            ({"metadata": pmap({"": "x"})}, "metadata"),
            ({"metadata": pmap({"x": "y" * 257})}, "metadata"),
            ({"metadata": pmap({"x": "\ud800"})}, "can't be passed on"),
            ({"max_downtime_seconds": 0}, "downtime"),
            ({"max_downtime_seconds": 86_401}, "downtime"),
            ({"max_downtime_seconds": float("nan")}, "downtime"),
        ],
    )
    def test_values_are_checked(self, fields: dict[str, Any], complaint: str) -> None:
        """
        A value that can't be done is refused, saying which.
        """
        code, text = refusal(state(), CreateDataset(dataset_id=D1, primary=A, **fields))

        assert (RefusalCode.VALUE_REFUSED, True) == (code, complaint in text)

    def test_limits_themselves_are_accepted(self) -> None:
        """
        The least size, the longest name and the fullest metadata are accepted.
        """
        command = CreateDataset(
            dataset_id=D1,
            primary=A,
            name="x" * 63,
            maximum_size_bytes=64 * MIB,
            metadata=pmap({str(number).rjust(256): "v" * 256 for number in range(16)}),
        )

        assert isinstance(decide(state(), command), Changes)


class TestChangeDataset:
    """
    Datasets that are there.
    """

    @pytest.mark.parametrize(
        ("command", "fields"),
        [
            (ChangePrimary(dataset_id=D1, primary=B), {"primary": B}),
            (ChangePrimary(dataset_id=D1, primary=C), {"primary": C}),
            (ResizeDataset(dataset_id=D1, maximum_size_bytes=128 * MIB), {"maximum_size_bytes": 128 * MIB}),
            (RenameDataset(dataset_id=D1, name="new"), {"name": "new"}),
            (ChangeMetadata(dataset_id=D1, metadata=pmap({"k": "v"})), {"metadata": pmap({"k": "v"})}),
            (
                move_policy(9, OverrunPolicy.CUT_OVER, StartFailurePolicy.STAY),
                {
                    "max_downtime_seconds": 9,
                    "on_overrun": OverrunPolicy.CUT_OVER,
                    "on_start_failure": StartFailurePolicy.STAY,
                },
            ),
            (DeleteDataset(dataset_id=D1), {"deleted": True}),
        ],
        ids=["primary", "unknown primary", "size", "name", "metadata", "policy", "deleted"],
    )
    def test_changes_what_is_wanted_and_no_more(self, command: Command, fields: dict[str, Any]) -> None:
        """
        Each command changes its own part of what is wanted, and never who owns the dataset.
        """
        assert puts(dataset(**fields)) == decide(state(*OWNED), command)

    @pytest.mark.parametrize(
        "command",
        [
            ChangePrimary(dataset_id=D1, primary=A),
            ResizeDataset(dataset_id=D1, maximum_size_bytes=None),
            RenameDataset(dataset_id=D1, name=None),
            ChangeMetadata(dataset_id=D1),
            move_policy(2.0, OverrunPolicy.GIVE_UP),
        ],
    )
    def test_wish_fulfilled_already(self, command: Command) -> None:
        """
        Asking for what is so already changes nothing.
        """
        assert Changes() == decide(state(*OWNED), command)

    def test_deleting_twice(self) -> None:
        """
        Deleting what has been deleted changes nothing.
        """
        assert Changes() == decide(state(dataset(deleted=True), ownership()), DeleteDataset(dataset_id=D1))

    @pytest.mark.parametrize(
        "command",
        [
            ChangePrimary(dataset_id=D2, primary=B),
            ResizeDataset(dataset_id=D2, maximum_size_bytes=None),
            DeleteDataset(dataset_id=D2),
            StartMove(dataset_id=D2, target=B),
        ],
    )
    def test_unknown_dataset(self, command: Command) -> None:
        """
        What isn't there can't be changed.
        """
        code, text = refusal(state(*OWNED), command)

        assert (RefusalCode.DATASET_UNKNOWN, True) == (code, str(D2) in text)

    @pytest.mark.parametrize(
        "command",
        [
            ChangePrimary(dataset_id=D1, primary=B),
            RenameDataset(dataset_id=D1, name="x"),
            StartMove(dataset_id=D1, target=B),
        ],
    )
    def test_deleted_dataset(self, command: Command) -> None:
        """
        What was deleted can't be changed or moved.
        """
        present = state(dataset(name="pg", deleted=True), ownership())

        assert (RefusalCode.DATASET_DELETED, "the dataset pg has been deleted") == refusal(present, command)

    @pytest.mark.parametrize(
        "command",
        [
            ResizeDataset(dataset_id=D1, maximum_size_bytes=1),
            move_policy(0, OverrunPolicy.GIVE_UP),
            move_policy(1e9, OverrunPolicy.GIVE_UP),
        ],
    )
    def test_values_are_checked(self, command: Command) -> None:
        """
        Changed values are checked as new ones are.
        """
        assert RefusalCode.VALUE_REFUSED == refusal(state(*OWNED), command)[0]

    def test_rename_to_a_name_in_use(self) -> None:
        """
        A dataset can't take the name of another.
        """
        present = state(*OWNED, dataset(D2, name="pg"), ownership(D2))

        assert RefusalCode.NAME_IN_USE == refusal(present, RenameDataset(dataset_id=D1, name="pg"))[0]

    def test_asking_again_forgets_the_refusal(self) -> None:
        """
        Asking again for the primary whose move was given up is a new wish.
        """
        present = state(dataset(primary=B), ownership(refused_primary=B))

        assert puts(ownership()) == decide(present, ChangePrimary(dataset_id=D1, primary=B))

    @pytest.mark.parametrize(
        ("command", "code"),
        [
            (ChangePrimary(dataset_id=D1, primary=B), RefusalCode.DATASET_ELSEWHERE),
            (DeleteDataset(dataset_id=D1), RefusalCode.DATASET_IN_USE),
        ],
    )
    def test_dataset_that_a_container_uses(self, command: Command, code: RefusalCode) -> None:
        """
        A dataset that a container uses is neither deleted nor taken away from it, and the container is named.
        """
        present = state(*OWNED, container("web", A, D1))

        found, text = refusal(present, command)
        assert (code, True) == (found, "container web" in text)


class TestContainers:
    """
    Containers.
    """

    def test_put(self) -> None:
        """
        A new container is kept as it was given.
        """
        wanted = container("web", A, D1, ports=pvector([Port(internal=80, external=8080)]))

        present = state(*OWNED, dataset(D2), ownership(D2), container("other", A, D2))
        assert puts(wanted) == decide(present, PutContainer(container=wanted))

    def test_put_again(self) -> None:
        """
        Putting what is there changes nothing.
        """
        assert Changes() == decide(state(container()), PutContainer(container=container()))

    def test_remove(self) -> None:
        """
        A removed container is gone; its dataset stays.
        """
        present = state(*OWNED, container("web", A, D1))

        assert Changes().delete("container/web") == decide(present, RemoveContainer(name=ContainerName("web")))

    def test_remove_unknown(self) -> None:
        """
        What doesn't run can't be removed.
        """
        assert RefusalCode.CONTAINER_UNKNOWN == refusal(state(), RemoveContainer(name=ContainerName("web")))[0]

    def test_datasets_follow(self) -> None:
        """
        A container that changes its node takes its dataset along, even if that was refused before.
        """
        present = state(dataset(), ownership(refused_primary=B), container("web", A, D1))

        expected = puts(container("web", B, D1), dataset(primary=B), ownership())
        assert expected == decide(present, PutContainer(container=container("web", B, D1)))

    def test_dataset_left_behind(self) -> None:
        """
        A container that changes its node and leaves a dataset out leaves it where it is.
        """
        present = state(*OWNED, container("web", A, D1))

        assert puts(container("web", B)) == decide(present, PutContainer(container=container("web", B)))

    def test_unknown_node(self) -> None:
        """
        A container needs a node that is known.
        """
        assert RefusalCode.NODE_UNKNOWN == refusal(state(), PutContainer(container=container("web", C)))[0]

    def test_node_that_may_be_unknown(self) -> None:
        """
        Unless it is said that the node may come later.
        """
        wanted = container("web", C)

        assert puts(wanted) == decide(state(), PutContainer(container=wanted, node_may_be_unknown=True))

    def test_dataset_elsewhere(self) -> None:
        """
        A new container doesn't pull a dataset from another node: it is told where that is wanted.
        """
        code, text = refusal(state(*OWNED), PutContainer(container=container("web", B, D1)))

        assert (RefusalCode.DATASET_ELSEWHERE, True) == (code, "alpha" in text and "beta" in text)

    def test_dataset_unknown(self) -> None:
        """
        A container can't use a dataset that isn't there.
        """
        assert RefusalCode.DATASET_UNKNOWN == refusal(state(), PutContainer(container=container("web", A, D1)))[0]

    def test_dataset_deleted(self) -> None:
        """
        A container can't use a dataset that was deleted.
        """
        present = state(dataset(deleted=True), ownership())

        assert RefusalCode.DATASET_IN_USE == refusal(present, PutContainer(container=container("web", A, D1)))[0]

    def test_dataset_in_use(self) -> None:
        """
        Two containers can't use one dataset.
        """
        present = state(*OWNED, container("db", A, D1))

        code, text = refusal(present, PutContainer(container=container("web", A, D1)))
        assert (RefusalCode.DATASET_IN_USE, True) == (code, "db and web" in text)

    def test_port_in_use(self) -> None:
        """
        Two containers of one node can't have one external port.
        """
        present = state(container("db", ports=pvector([Port(internal=1, external=80)])))
        command = PutContainer(container=container("web", ports=pvector([Port(internal=2, external=80)])))

        code, text = refusal(present, command)
        assert (RefusalCode.PORT_IN_USE, True) == (code, "80/tcp" in text and "db" in text and "alpha" in text)

    @pytest.mark.parametrize(
        ("here", "there", "refused"),
        [
            ("127.0.0.1", None, True),
            (None, "127.0.0.1", True),
            ("0.0.0.0", "127.0.0.1", True),  # noqa: S104
            ("127.0.0.1", "127.0.0.1", True),
            ("127.0.0.1", "192.0.2.1", False),
        ],
    )
    def test_port_at_an_address(self, here: str | None, there: str | None, refused: bool) -> None:
        """
        Two containers of one node can have one external port at two addresses, but not at one and at all.
        """
        present = state(container("db", ports=pvector([Port(internal=1, external=80, host_address=there)])))
        wanted = container("web", ports=pvector([Port(internal=2, external=80, host_address=here)]))

        decision = decide(present, PutContainer(container=wanted), ("command", "ports"))
        assert refused == (isinstance(decision, Refusal) and decision.code is RefusalCode.PORT_IN_USE)

    FORWARDING: ClassVar = ("command", "ports", "ports.forwarded")

    @pytest.mark.parametrize(
        ("here", "there", "fields", "refused"),
        [
            (Port(internal=1, external=80), Port(internal=2, external=80), FORWARDING, True),
            (Port(internal=1, external=80), Port(internal=2, external=80), ("command", "ports"), False),
            (Port(internal=1, external=81), Port(internal=2, external=80), FORWARDING, False),
            (Port(internal=1, external=80, protocol="udp"), Port(internal=2, external=80), FORWARDING, False),
            (Port(internal=1, external=80, host_address="::1"), Port(internal=2, external=80), FORWARDING, False),
            (Port(internal=1, external=80), Port(internal=2, external=80, host_address="::1"), FORWARDING, False),
        ],
    )
    def test_port_is_forwarded_already(self, here: Port, there: Port, fields: tuple[str, ...], refused: bool) -> None:
        """
        Where nodes forward ports, an external port belongs to one container of the cluster.
        """
        present = state(container("db", B, ports=pvector([there])))
        decision = decide(present, PutContainer(container=container(ports=pvector([here]))), fields)

        assert refused == (
            isinstance(decision, Refusal)
            and decision.code is RefusalCode.PORT_IN_USE
            and "80/tcp" in decision.text
            and "db" in decision.text
        )

    def test_port_that_was_shared_before_nodes_forward(self) -> None:
        """
        Two containers that had the same port on two nodes before these forwarded may be changed all the same.
        """
        ports = pvector([Port(internal=1, external=80)])
        present = state(container("db", B, ports=ports), container("web", A, ports=ports))
        command = PutContainer(container=container("web", A, ports=ports, command=pvector(["/bin/other"])))

        assert not isinstance(decide(present, command, self.FORWARDING), Refusal)

    @pytest.mark.parametrize(
        "other",
        [
            container("db", B, ports=pvector([Port(internal=1, external=80)])),
            container("db", A, ports=pvector([Port(internal=1, external=80, protocol="udp")])),
            container("db", A, ports=pvector([Port(internal=1, external=81)])),
        ],
        ids=["node", "protocol", "number"],
    )
    def test_same_port_that_is_another(self, other: Container) -> None:
        """
        Ports of other nodes and other protocols are other ports.
        """
        command = PutContainer(container=container("web", ports=pvector([Port(internal=2, external=80)])))

        assert isinstance(decide(state(other), command), Changes)

    @pytest.mark.parametrize("before", [(), (container("web", image="x"),)], ids=["new", "changed"])
    def test_field_that_the_runtime_lacks(self, before: tuple[Container, ...]) -> None:
        """
        A field that the node's runtime can't do is refused by name.
        """
        command = PutContainer(container=container("web", memory_bytes=MIB))

        code, text = refusal(state(*before), command)
        assert (RefusalCode.FIELD_NOT_SUPPORTED, True) == (code, "memory_bytes" in text and "process" in text)

    def test_path_that_the_runtime_lacks(self) -> None:
        """
        A mount's path inside the container is refused where the runtime runs plain processes.
        """
        command = PutContainer(container=container("web").set(mounts=pvector([Mount(dataset_id=D1, path="/data")])))

        code, text = refusal(state(*OWNED), command)
        assert (RefusalCode.FIELD_NOT_SUPPORTED, True) == (code, "mounts.path" in text)

    def test_path_that_the_runtime_can_do(self) -> None:
        """
        It is accepted where the runtime can do it.
        """
        wanted = container("web").set(mounts=pvector([Mount(dataset_id=D1, path="/data")]))

        fields = ("command", "mounts", "mounts.path")
        assert puts(wanted) == decide(state(*OWNED), PutContainer(container=wanted), fields)

    def test_move_to_a_runtime_that_lacks_a_field(self) -> None:
        """
        A container can't change to a node whose runtime can't do what it needs.
        """
        present = state(container("web", B, memory_bytes=MIB))

        command = PutContainer(container=container("web", A, memory_bytes=MIB))
        assert RefusalCode.FIELD_NOT_SUPPORTED == refusal(present, command)[0]

    def test_old_need_is_in_nobodys_way(self) -> None:
        """
        A container that needs what its node can no longer do may still be changed otherwise.
        """
        present = state(container("web", A, memory_bytes=MIB))

        wanted = container("web", A, memory_bytes=MIB, environment=pmap({"A": "b"}))
        assert puts(wanted) == decide(present, PutContainer(container=wanted))

    def test_runtime_is_unknown(self) -> None:
        """
        While a node has no session its runtime is not known, and nothing is refused on its behalf.
        """
        wanted = container("web", B, memory_bytes=MIB)

        assert puts(wanted) == decide(state(), PutContainer(container=wanted))

    @pytest.mark.parametrize(
        ("fields", "complaint"),
        [
            ({"name": "-"}, "name"),
            ({"command": pvector()}, "neither an image nor a command"),
            ({"name": ContainerName("00000000-0000-0000-0000-0000000000d1")}, "mistaken for the id of a dataset"),
            ({"image": ""}, "image"),
            ({"command": pvector(["x" * 4097])}, "command"),
            ({"command": pvector(["x"] * 4097)}, "command"),
            ({"command": pvector(["a\0b"])}, "can't be passed on"),
            ({"environment": pmap({"": "x"})}, "environment"),
            ({"environment": pmap({"a=b": "x"})}, "environment"),
            ({"ports": pvector([Port(internal=0, external=80)])}, "ports: 0 and 80"),
            ({"ports": pvector([Port(internal=80, external=65536)])}, "65536"),
            ({"ports": pvector([Port(internal=80, external=80, protocol="sctp")])}, "sctp"),
            ({"ports": pvector([Port(internal=80, external=1), Port(internal=80, external=2)])}, "twice"),
            ({"ports": pvector([Port(internal=1, external=80), Port(internal=2, external=80)])}, "twice"),
            ({"links": pvector([Link(alias="a-b", local_port=1, remote_port=2)])}, "a-b"),
            ({"links": pvector([Link(alias="a", local_port=0, remote_port=2)])}, "links: 0 and 2"),
            (
                {
                    "links": pvector(
                        [Link(alias="a", local_port=1, remote_port=2), Link(alias="A", local_port=1, remote_port=3)]
                    )
                },
                "links: alias and local port a 1 appears twice",
            ),
            ({"restart": RestartPolicy(name=RestartName.ALWAYS, maximum_retry_count=2)}, "on-failure"),
            ({"restart": RestartPolicy(name=RestartName.ON_FAILURE, maximum_retry_count=0)}, "at least 1"),
            ({"memory_bytes": MIB - 1}, "memory"),
            ({"cpu_shares": 0}, "cpu_shares"),
            ({"cpu_shares": 1025}, "cpu_shares"),
            ({"swappiness": 101}, "swappiness"),
            ({"stop_grace_seconds": 86_401}, "stop_grace"),
            ({"image": "Nginx"}, "image: 'Nginx' has a capital letter"),
            ({"entrypoint": pvector(["x" * 4097])}, "the entrypoint has more than"),
            ({"environment_file": "db.env"}, "environment_file: must be the absolute path"),
            ({"stop_signal": "SIGNAL"}, "stop_signal: must be a signal"),
            ({"cpus": 0.001}, "cpus: must be a number of processors"),
            ({"pids_limit": 0}, "pids_limit"),
            ({"user": "a b"}, "user: must be a name"),
            ({"capabilities_add": pvector(["NET"])}, "capabilities_add: must be a capability"),
            ({"capabilities_drop": pvector(["CHOWN", "CHOWN"])}, "capabilities_drop: CHOWN appears twice"),
            (
                {"capabilities_add": pvector(["CHOWN"]), "capabilities_drop": pvector(["CHOWN"])},
                "capabilities: CHOWN can't be both",
            ),
            ({"security_options": pvector(["seccomp=/a"])}, "security_options: seccomp is unconfined"),
            ({"log_options": pmap({"a": "b"})}, "log_options: they belong to a log_driver"),
            ({"log_driver": "a b"}, "log_driver: must be the name"),
            (
                {"log_driver": "syslog", "log_options": pmap({str(each): "" for each in range(65)})},
                "log_options: there are 65",
            ),
            ({"log_driver": "syslog", "log_options": pmap({"a b": ""})}, "is not the name of an option"),
            ({"health": HealthCheck()}, "health: the command is empty"),
            ({"health": HealthCheck(command=pvector(["x" * 4097]))}, "health: the command has more than"),
            ({"health": HealthCheck(command=pvector(["x"]), retries=1001)}, "health: 1001 retries"),
            ({"health": HealthCheck(command=pvector(["x"]), interval_seconds=86_401)}, "health: interval_seconds"),
            ({"health": HealthCheck(command=pvector(["x"]), start_period_seconds=-1)}, "health: start_period_seconds"),
            ({"ports": pvector([Port(internal=1, external=2, host_address="x")])}, "ports: 'x' is not an IP address"),
            ({"ports": pvector([Port(internal=1, external=2, host_address="0::1")])}, "not in its usual spelling"),
            ({"ports": pvector(Port(internal=n, external=n) for n in range(1, 1026))}, "ports: there are 1025"),
            ({"mounts": pvector([Mount(dataset_id=D1, path="data")])}, "not absolute"),
            ({"mounts": pvector([Mount(dataset_id=D1), Mount(dataset_id=D1)])}, "twice"),
            ({"mounts": pvector([Mount(dataset_id=D1, path="/a"), Mount(dataset_id=D2, path="/a")])}, "/a appears"),
        ],
    )
    def test_definitions_are_checked(self, fields: dict[str, Any], complaint: str) -> None:
        """
        A definition that no runtime can do is refused, saying what is wrong with it.
        """
        code, text = refusal(state(), PutContainer(container=container().set(**fields)))

        assert (RefusalCode.VALUE_REFUSED, True) == (code, complaint in text)

    def test_whole_definition_is_accepted(self) -> None:
        """
        A container may have one of everything.
        """
        wanted = container(
            "web",
            B,
            image="nginx:1",
            environment=pmap({"A": "b"}),
            ports=pvector([Port(internal=80, external=80), Port(internal=80, external=80, protocol="udp")]),
            links=pvector([Link(alias="db", local_port=1, remote_port=65535)]),
            restart=RestartPolicy(name=RestartName.ON_FAILURE, maximum_retry_count=1),
            memory_bytes=MIB,
            cpu_shares=1024,
            swappiness=100,
            labels=pmap({"tier": "front"}),
            pull=PullPolicy.ALWAYS,
            entrypoint=pvector(["/entry"]),
            environment_file="/etc/flocker/web.env",
            stop_signal="SIGINT",
            cpus=0.5,
            pids_limit=100,
            health=HealthCheck(command=pvector(["true"])),
            log_driver="json-file",
            log_options=pmap({"max-size": "1m"}),
            read_only=True,
            user="999:999",
            capabilities_add=pvector(["NET_ADMIN"]),
            capabilities_drop=pvector(["ALL"]),
            security_options=pvector(["no-new-privileges"]),
        )

        assert puts(wanted) == decide(state(), PutContainer(container=wanted))


class TestNodes:
    """
    Nodes.
    """

    def test_new_node(self) -> None:
        """
        A node may be named before it has ever come.
        """
        command = PutNode(node_id=C, name="gamma", address="2001:db8::1", labels=pmap({"rack": "1"}))

        expected = puts(Node(node_id=C, name="gamma", address="2001:db8::1", labels=pmap({"rack": "1"})))
        assert expected == decide(state(), command)

    def test_what_is_not_given_stays(self) -> None:
        """
        Naming a node leaves its address as it is.
        """
        present = state(Node(node_id=C, address="192.0.2.3"))

        expected = puts(Node(node_id=C, name="gamma", address="192.0.2.3"))
        assert expected == decide(present, PutNode(node_id=C, name="gamma"))

    def test_name_in_use(self) -> None:
        """
        Two nodes can't have one name.
        """
        assert RefusalCode.NAME_IN_USE == refusal(state(), PutNode(node_id=C, name="alpha"))[0]

    @pytest.mark.parametrize(
        "fields", [{"name": "a b"}, {"address": "example.org"}, {"labels": pmap({"a": "\0"})}], ids=str
    )
    def test_values_are_checked(self, fields: dict[str, Any]) -> None:
        """
        What can't be a name, an address or a label is refused.
        """
        assert RefusalCode.VALUE_REFUSED == refusal(state(), PutNode(node_id=C, **fields))[0]


class TestNodesThatGo:
    """
    Nodes that are drained, removed, and let in again.
    """

    DRAINING = (Node(node_id=B, name="beta", draining=True),)
    REMOVED = (Node(node_id=B, name="beta", removed=True),)

    def test_drain(self) -> None:
        """
        A drained node says so, and nothing else changes.
        """
        assert puts(Node(node_id=A, name="alpha", draining=True)) == decide(state(*OWNED), DrainNode(node_id=A))

    def test_undrain(self) -> None:
        """
        Its end is the same the other way round.
        """
        assert puts(Node(node_id=B, name="beta")) == decide(state(*self.DRAINING), UndrainNode(node_id=B))

    @pytest.mark.parametrize("command", [DrainNode, UndrainNode, RemoveNode, ReadmitNode])
    def test_unknown(self, command: type[DrainNode | UndrainNode | RemoveNode | ReadmitNode]) -> None:
        """
        A node has to be known.
        """
        assert RefusalCode.NODE_UNKNOWN == refusal(state(), command(node_id=C))[0]

    @pytest.mark.parametrize("command", [DrainNode, UndrainNode])
    def test_drain_what_was_removed(self, command: type[DrainNode | UndrainNode]) -> None:
        """
        A node that was removed has nothing to drain.
        """
        assert RefusalCode.NODE_REMOVED == refusal(state(*self.REMOVED), command(node_id=B))[0]

    @pytest.mark.parametrize(
        "command",
        [
            CreateDataset(dataset_id=D2, primary=B),
            ChangePrimary(dataset_id=D1, primary=B),
            StartMove(dataset_id=D1, target=B),
            PutContainer(container=container("web", B)),
            PutContainer(container=container("db", B, D1)),
        ],
        ids=["dataset", "primary", "move", "container", "container that moves"],
    )
    @pytest.mark.parametrize(
        ("node", "code"),
        [(DRAINING, RefusalCode.NODE_DRAINING), (REMOVED, RefusalCode.NODE_REMOVED)],
        ids=["draining", "removed"],
    )
    def test_takes_nothing_new(self, command: Command, node: tuple[Node], code: RefusalCode) -> None:
        """
        Nothing new is put on such a node, and whoever asks by name is told why.
        """
        present = state(*OWNED, *node, container("db", A, D1))

        found = decisions.refusals(present, command, pmap())
        assert code in {one.code for one in found}
        assert all("flockerctl" in one.text for one in found if one.code is code)

    @pytest.mark.parametrize(
        ("records", "command"),
        [
            ((dataset(primary=B), ownership(owner=B)), RenameDataset(dataset_id=D1, name="new")),
            ((dataset(primary=B), ownership(owner=B)), DeleteDataset(dataset_id=D1)),
            ((container("web", B),), PutContainer(container=container("web", B, cpu_shares=7))),
            ((dataset(primary=A), moving().set(owner=B)), ChangePrimary(dataset_id=D1, primary=B)),
            (
                (dataset(primary=A), moving().set(owner=B), container("db", A, D1)),
                StartMove(dataset_id=D1, target=B),
            ),
        ],
        ids=["rename", "delete", "redefine", "cancel", "cancel with container"],
    )
    def test_what_is_there_may_stay(self, records: tuple[Stored, ...], command: Command) -> None:
        """
        What is on a node that is being drained can be changed, and a move away from it be cancelled.
        """
        assert isinstance(decisions.decide(state(*self.DRAINING, *records), command, pmap()), Changes)

    def test_remove(self) -> None:
        """
        A node that has nothing is removed, and is remembered as such; doing it twice is harmless.
        """
        present = state(*OWNED, *self.DRAINING, container("web", A))

        assert puts(*self.REMOVED) == decide(present, RemoveNode(node_id=B))
        assert Changes() == decide(state(*self.REMOVED), RemoveNode(node_id=B))

    @pytest.mark.parametrize(
        ("records", "held"),
        [
            ((dataset(D2, B, name="pg"), ownership(D2, B)), "owned by it: dataset pg"),
            ((dataset(D2, B, deleted=True), ownership(D2, B)), f"owned by it: dataset {D2}"),
            ((dataset(D2, A), moving(D2)), f"moving from or to it: dataset {D2}"),
            ((dataset(D2, B), ownership(D2, A)), f"wanted there: dataset {D2}"),
            (
                (dataset(D2, A), ownership(D2, A, handed_over=pmap({B: Guid(7)}))),
                f"not yet removed from it: its former copy of dataset {D2}",
            ),
            (
                (dataset(D2, A), ownership(D2, A, deposed=pmap({B: 3}))),
                f"not yet put aside on it: what it has of dataset {D2}",
            ),
            ((dataset(D2, A), ownership(D2, A, bases=pmap({B: Guid(7)}))), f"put aside on it: a stash of dataset {D2}"),
            ((container("web", B),), "wanted there: container web"),
        ],
        ids=["owned", "being deleted", "moving", "wanted", "former copy", "deposed", "stash", "container"],
    )
    def test_still_has_something(self, records: tuple[Stored, ...], held: str) -> None:
        """
        A node that has something is not removed, and what it has is named.
        """
        code, text = refusal(state(*records), RemoveNode(node_id=B))

        assert (RefusalCode.NODE_IN_USE, True) == (code, text.endswith(f"(flockerctl drain beta): {held}"))

    LEFTOVERS = ownership(D2, A, handed_over=pmap({B: Guid(7)}), deposed=pmap({B: 3}), bases=pmap({B: Guid(7)}))

    def test_dead(self) -> None:
        """
        Nothing is waited for that a dead node may still have of what belongs to others.
        """
        present = state(dataset(D2, A), self.LEFTOVERS)

        assert puts(*self.REMOVED, ownership(D2, A)) == decide(present, RemoveNode(node_id=B, is_dead=True))

    def test_dead_and_needed(self) -> None:
        """
        What belongs to a dead node has to be failed over, or deleted, first.
        """
        code, text = refusal(state(dataset(D2, B), ownership(D2, B)), RemoveNode(node_id=B, is_dead=True))

        assert (RefusalCode.NODE_IN_USE, True) == (code, text.endswith(f"owned by it: dataset {D2}"))

    def test_not_dead(self) -> None:
        """
        A node that is connected isn't dead.
        """
        found = decisions.decide(state(), RemoveNode(node_id=B, is_dead=True), pmap({B: node_report(B)}))

        assert isinstance(found, Refusal)
        assert found.text == "node beta is connected, and so it isn't dead"

    def test_reports_something(self) -> None:
        """
        Nor is one that reports data or running containers, whatever the records say.
        """
        name = ContainerName("web")
        running = ContainerObservation(name=name, phase=ContainerPhase.RUNNING)
        ended = ContainerObservation(name=ContainerName("old"), phase=ContainerPhase.EXITED)
        node = node_report(B, observation(D1, 0), observation(D3, 0))
        stash = StashObservation(name="d1-3", dataset_id=D1, role=Role.OWNER, epoch=3)
        node = node.set(containers=pmap({name: running, ended.name: ended}), stashes=pmap({stash.name: stash}))

        found = decisions.decide(state(dataset(name="pg"), ownership()), RemoveNode(node_id=B), pmap({B: node}))
        assert isinstance(found, Refusal)
        assert found.text.endswith(
            f": running there: container web; in its pool: dataset pg; in its pool: dataset {D3}; "
            "in its pool: stash d1-3"
        )

    def test_destroyed_datasets_are_nowhere(self) -> None:
        """
        What was deleted, and is gone, keeps no node.
        """
        present = state(dataset(D2, B, deleted=True), ownership(D2, B, destroyed=True))

        assert puts(*self.REMOVED) == decide(present, RemoveNode(node_id=B))

    def test_nothing_of_others(self) -> None:
        """
        Deleted datasets that are wanted there keep no node either, when they belong to another.
        """
        present = state(dataset(D2, B, deleted=True), ownership(D2, A))

        assert puts(*self.REMOVED) == decide(present, RemoveNode(node_id=B))

    def test_removed_text(self) -> None:
        """
        The agent of a node that was removed is told so, with the way back; others are heard.
        """
        told = removed_text(state(*self.REMOVED), B)

        assert told is not None
        assert f"flockerctl readmit {B}" in told
        assert (removed_text(state(), B), removed_text(state(), C)) == (None, None)

    def test_readmit(self) -> None:
        """
        A node that is let in again has the name that it had.
        """
        assert puts(Node(node_id=B, name="beta")) == decide(state(*self.REMOVED), ReadmitNode(node_id=B))

    def test_readmit_without_its_name(self) -> None:
        """
        Unless that was given to another node meanwhile, which is no mistake.
        """
        present = state(*self.REMOVED)
        named = decide(present, PutNode(node_id=C, name="beta"))
        assert isinstance(named, Changes)

        after = changed(present, named, revision=6)
        assert puts(Node(node_id=B)) == decide(after, ReadmitNode(node_id=B))


class TestStartMove:
    """
    Moves that operators ask for.
    """

    def test_dataset_alone(self) -> None:
        """
        A dataset that no container uses is simply wanted elsewhere.
        """
        present = state(*OWNED, container("idle"))

        assert puts(dataset(primary=B)) == decide(present, StartMove(dataset_id=D1, target=B))

    def test_container_and_companions_come_along(self) -> None:
        """
        The container that uses the dataset moves with it, and so does everything else that this container uses.
        """
        present = state(*OWNED, dataset(D2), ownership(D2), container("web", A, D1, D2), container("other"))

        expected = puts(dataset(primary=B), dataset(D2, B), container("web", B, D1, D2))
        assert expected == decide(present, StartMove(dataset_id=D1, target=B))

    def test_move_again_after_it_was_given_up(self) -> None:
        """
        A move that was given up is tried again when somebody asks for it again.
        """
        present = state(dataset(primary=B), ownership(refused_primary=B))

        assert puts(ownership()) == decide(present, StartMove(dataset_id=D1, target=B))

    def test_same_move_under_way(self) -> None:
        """
        Asking twice for the same move changes nothing.
        """
        assert Changes() == decide(state(dataset(primary=B), moving()), StartMove(dataset_id=D1, target=B))

    def test_on_its_way_elsewhere(self) -> None:
        """
        A dataset on its way to one node can be sent home again.
        """
        present = state(dataset(primary=B), moving())

        assert puts(dataset()) == decide(present, StartMove(dataset_id=D1, target=A))

    def test_already_there(self) -> None:
        """
        A dataset that is where it is wanted can't be moved there.
        """
        assert RefusalCode.ALREADY_THERE == refusal(state(*OWNED), StartMove(dataset_id=D1, target=A))[0]

    def test_unknown_target(self) -> None:
        """
        A target that nobody knows is refused.
        """
        assert RefusalCode.NODE_UNKNOWN == refusal(state(*OWNED), StartMove(dataset_id=D1, target=C))[0]

    @pytest.mark.parametrize(
        ("used_bytes", "copies", "refused"),
        [(1001, (), True), (1000, (), False), (1001, (D1,), False)],
        ids=["full", "just fits", "has a copy"],
    )
    def test_room(self, used_bytes: int, copies: tuple[DatasetId, ...], refused: bool) -> None:
        """
        A dataset doesn't move to a node that has no room for it, unless that has a copy already.
        """
        source = node_report(A, observation(D1, used_bytes))
        target = node_report(B, *(observation(copy, 0) for copy in copies)).set(free_bytes=1000, storage_known=True)

        decision = decisions.decide(state(*OWNED), StartMove(dataset_id=D1, target=B), pmap({A: source, B: target}))
        code = decision.code if isinstance(decision, Refusal) else None
        assert (RefusalCode.TARGET_WITHOUT_ROOM if refused else None) == code

    def test_container_cannot_follow(self) -> None:
        """
        A dataset doesn't move to a node whose runtime can't run its container.
        """
        present = state(dataset(primary=B), ownership(owner=B), container("web", B, D1, memory_bytes=MIB))

        assert RefusalCode.FIELD_NOT_SUPPORTED == refusal(present, StartMove(dataset_id=D1, target=A))[0]


class TestCancelMove:
    """
    Moves that operators don't want any more.
    """

    @pytest.mark.parametrize("phase", [MovePhase.COPYING, MovePhase.RELEASING, MovePhase.FINAL])
    def test_before_the_commit(self, phase: MovePhase) -> None:
        """
        Until it is committed, a cancelled move means that the dataset is wanted where it is.
        """
        present = state(dataset(primary=B), moving(phase=phase))

        assert puts(dataset()) == decide(present, CancelMove(move_id=MOVE))

    def test_container_stays_too(self) -> None:
        """
        The container, and what else it uses, stay with the dataset.
        """
        present = state(
            dataset(primary=B),
            moving(),
            dataset(D2, B),
            moving(D2).transform(["move"], lambda move: move.set(move_id=MoveId(UUID(int=1)))),
            container("web", B, D1, D2),
        )

        expected = puts(dataset(), dataset(D2), container("web", A, D1, D2))
        assert expected == decide(present, CancelMove(move_id=MOVE))

    def test_after_the_commit(self) -> None:
        """
        After the commit point a move can't be cancelled any more.
        """
        present = state(dataset(primary=B), moving(phase=MovePhase.TAKING))

        code, text = refusal(present, CancelMove(move_id=MOVE))
        assert (RefusalCode.MOVE_COMMITTED, True) == (code, "can't be cancelled" in text)

    def test_after_a_companions_commit(self) -> None:
        """
        Once one of the datasets that a container uses has gone over, the others follow.
        """
        present = state(
            dataset(primary=B),
            moving(phase=MovePhase.FINAL),
            dataset(D2, B, name="pg"),
            moving(D2, MovePhase.TAKING).transform(["move"], lambda move: move.set(move_id=MoveId(UUID(int=1)))),
            container("web", B, D1, D2),
        )

        code, text = refusal(present, CancelMove(move_id=MOVE))
        assert (RefusalCode.MOVE_COMMITTED, True) == (code, "dataset pg" in text)

    def test_companion_lives_elsewhere(self) -> None:
        """
        A move that brings a container's datasets together is not cancelled while the container needs both.
        """
        present = state(dataset(primary=B), moving(), dataset(D2, B), ownership(D2, B), container("web", B, D1, D2))

        code, text = refusal(present, CancelMove(move_id=MOVE))
        assert (RefusalCode.DATASET_ELSEWHERE, True) == (code, "container web" in text)

    def test_ended(self) -> None:
        """
        A move that has ended can't be cancelled, and the answer says how it ended.
        """
        last = FinishedMove(
            move_id=MOVE,
            source=A,
            target=B,
            outcome=MoveOutcome.DONE,
            started_at_seconds=1,
            ended_at_seconds=2,
        )
        present = state(dataset(primary=B), ownership(owner=B, last_move=last))

        code, text = refusal(present, CancelMove(move_id=MOVE))
        assert (RefusalCode.MOVE_ENDED, True) == (code, "done" in text)

    def test_unknown(self) -> None:
        """
        A move that nobody knows can't be cancelled.
        """
        assert RefusalCode.MOVE_UNKNOWN == refusal(state(*OWNED), CancelMove(move_id=MOVE))[0]

    def test_deleted_dataset(self) -> None:
        """
        The move of a dataset that was deleted since is over anyway.
        """
        present = state(dataset(primary=B, deleted=True), moving())

        assert Changes() == decide(present, CancelMove(move_id=MOVE))


class TestApplyAll:
    """
    Many commands as one.
    """

    def test_later_parts_build_on_earlier_ones(self) -> None:
        """
        A part may use what a part before it made.
        """
        command = ApplyAll(
            commands=pvector(
                [
                    PutNode(node_id=C, name="gamma"),
                    CreateDataset(dataset_id=D1, primary=C, name="pg"),
                    RenameDataset(dataset_id=D1, name="postgres"),
                    PutContainer(container=container("db", C, D1)),
                ]
            )
        )

        expected = puts(
            Node(node_id=C, name="gamma"),
            dataset(D1, C, name="postgres"),
            Ownership(dataset_id=D1, owner=C),
            container("db", C, D1),
        )
        assert expected == decide(state(), command)

    def test_datasets_are_swapped(self) -> None:
        """
        Two containers can swap their datasets, though neither could take the other's on its own.
        """
        present = state(*OWNED, dataset(D2), ownership(D2), container("one", A, D1), container("two", A, D2))
        swapped = (container("one", A, D2), container("two", A, D1))

        command = ApplyAll(commands=pvector(PutContainer(container=one) for one in swapped))
        assert puts(*swapped) == decide(present, command)

    def test_one_refusal_refuses_all(self) -> None:
        """
        If one part is refused, so is the whole.
        """
        command = ApplyAll(commands=pvector([CreateDataset(dataset_id=D1, primary=A), DeleteDataset(dataset_id=D2)]))

        assert RefusalCode.DATASET_UNKNOWN == refusal(state(), command)[0]

    def test_container_and_dataset_go_together(self) -> None:
        """
        A container and its dataset can be removed in one step.
        """
        present = state(*OWNED, container("web", A, D1))
        command = ApplyAll(commands=pvector([DeleteDataset(dataset_id=D1), RemoveContainer(name=ContainerName("web"))]))

        assert puts(dataset(deleted=True)).delete("container/web") == decide(present, command)

    def test_what_is_made_and_removed(self) -> None:
        """
        What was put and removed in one command was never there.
        """
        parts: list[Command] = [
            PutContainer(container=container("web")),
            RemoveContainer(name=ContainerName("web")),
        ]

        assert Changes() == decide(state(), ApplyAll(commands=pvector(parts)))

    def test_nothing(self) -> None:
        """
        No commands change nothing.
        """
        assert Changes() == decide(state(), ApplyAll())


class TestRefusals:
    """
    Everything that stands in the way.
    """

    def test_accepted(self) -> None:
        """
        What is accepted has no refusals.
        """
        assert () == decisions.refusals(state(*OWNED), StartMove(dataset_id=D1, target=B), pmap())

    def test_of_a_part(self) -> None:
        """
        A part that can't be applied is the only refusal: what would follow from it is not known.
        """
        command = ApplyAll(commands=pvector([DeleteDataset(dataset_id=D2), PutNode(node_id=C, name="alpha")]))

        codes = [refused.code for refused in decisions.refusals(state(), command, pmap())]
        assert [RefusalCode.DATASET_UNKNOWN] == codes

    def test_of_the_whole(self) -> None:
        """
        Of what has to hold between records, every breach is named, each with the record that it is about.
        """
        parts: list[Command] = [PutNode(node_id=C, name="alpha"), PutContainer(container=container("web", A, D1))]

        found = decisions.refusals(state(), ApplyAll(commands=pvector(parts)), pmap())
        assert {f"node/{C}", "container/web"} == {refused.about for refused in found}

    def test_codes_are_different(self) -> None:
        """
        No two refusals have the same name, and each is an error to HTTP.
        """
        assert len(RefusalCode) == len({code.text for code in RefusalCode})
        assert all(400 <= code.status < 500 for code in RefusalCode)


FENCE, KEEP = PartitionPolicy.FENCE, PartitionPolicy.KEEP
LEASES = ("mounts", "on_partition.fence")


def change(policy: PartitionPolicy) -> ChangePartitionPolicy:
    """
    Another policy for the dataset.
    """
    return ChangePartitionPolicy(dataset_id=D1, on_partition=policy)


class TestChangePartitionPolicy:
    """
    What becomes of a dataset whose node is cut off.
    """

    def test_fence(self) -> None:
        """
        A dataset is fenced from now on, if the runtime of its node can do that. Its owner has not said so yet.
        """
        assert decide(state(*OWNED), change(FENCE), LEASES) == puts(dataset(on_partition=FENCE))

    def test_created_so(self) -> None:
        """
        A dataset may be so from its beginning.
        """
        decision = decide(state(), CreateDataset(dataset_id=D1, primary=A, on_partition=FENCE), LEASES)

        assert decision == puts(dataset(on_partition=FENCE), Ownership(dataset_id=D1, owner=A))

    def test_runtime_that_cannot(self) -> None:
        """
        Where containers outlive the lease of their node, the policy is refused, with the reason.
        """
        code, text = refusal(state(*OWNED), change(FENCE))

        assert code is RefusalCode.FIELD_NOT_SUPPORTED
        assert "process" in text
        assert "fence" in text

    def test_move_to_a_runtime_that_cannot(self) -> None:
        """
        A dataset that is to be fenced doesn't go where that can't be done.
        """
        present = state(dataset(primary=B, on_partition=FENCE), ownership(owner=B))

        assert refusal(present, StartMove(dataset_id=D1, target=A))[0] is RefusalCode.FIELD_NOT_SUPPORTED

    def test_runtime_that_can_no_longer(self) -> None:
        """
        A runtime that was exchanged for one that can't is in the way of no other change.
        """
        present = state(dataset(on_partition=FENCE), ownership())

        assert isinstance(decide(present, RenameDataset(dataset_id=D1, name="pg")), Changes)

    def test_keep_is_believed_at_once(self) -> None:
        """
        Before the owner is told to keep serving, it is no longer believed that it won't.
        """
        present = state(dataset(on_partition=FENCE), ownership(leased_epoch=1))

        assert decide(present, change(KEEP)) == puts(dataset(), ownership())

    def test_no_change(self) -> None:
        """
        Asking for what is, changes nothing.
        """
        assert decide(state(dataset(on_partition=FENCE), ownership(leased_epoch=1)), change(FENCE)) == Changes()

    def test_old_word_is_no_answer(self) -> None:
        """
        While the owner hasn't heard yet that it was to keep, what it says would be taken for an answer to this.
        """
        seen = observation(D1, 0).set(leased=True)
        nodes = pmap({A: node_report(A, seen).set(container_fields=pvector(LEASES))})

        decision = decisions.decide(state(*OWNED), change(FENCE), nodes)

        assert isinstance(decision, Refusal)
        assert decision.code is RefusalCode.NOT_YET

    def test_unknown_dataset(self) -> None:
        """
        There has to be a dataset.
        """
        assert refusal(state(), change(FENCE))[0] is RefusalCode.DATASET_UNKNOWN
