"""
Whatever users ask, in whatever order: an answer, and a state that holds together.
"""

from __future__ import annotations

from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyrsistent import PMap, pmap, pvector

from flocker_control.commands import (
    ApplyAll,
    CancelMove,
    ChangePrimary,
    Command,
    CreateDataset,
    DeleteDataset,
    PutContainer,
    PutNode,
    RemoveContainer,
    RenameDataset,
    ResizeDataset,
    StartMove,
    UnderLease,
)
from flocker_control.dataset_leases import AcquireLease, LeaseRule, Moment, ReleaseLease, served
from flocker_control.decisions import decide
from flocker_control.ownership import transition
from flocker_control.refusals import Refusal
from flocker_control.situation import Situation
from flocker_control.state import Changes, State, changed
from flocker_py.model import (
    Container,
    ContainerName,
    Dataset,
    DatasetId,
    Mount,
    Move,
    MoveId,
    MovePhase,
    Node,
    NodeId,
    Ownership,
    Port,
)
from flocker_py.observed import DatasetObservation, NodeObservation
from flocker_py.published_ports import excluded, port_text
from flocker_py.storage import Role

# Few of each, so that commands meet.
NODES = [NodeId(UUID(int=number)) for number in (1, 2, 3)]
DATASETS = [DatasetId(UUID(int=number)) for number in (11, 12, 13)]
MOVE = Move(
    move_id=MoveId(UUID(int=100)),
    source=NODES[0],
    target=NODES[1],
    phase=MovePhase.COPYING,
    started_at_seconds=0.0,
)
BEGINNING = changed(
    State(),
    Changes().put(
        *(Node(node_id=node_id) for node_id in NODES),
        Dataset(dataset_id=DATASETS[0], primary=NODES[0]),
        Ownership(dataset_id=DATASETS[0], owner=NODES[0], created=True),
        Dataset(dataset_id=DATASETS[1], primary=NODES[1]),
        Ownership(dataset_id=DATASETS[1], owner=NODES[0], created=True, move=MOVE),
    ),
    revision=0,
)
NOW = Moment(at_seconds=1.0, boot_id=UUID(int=8))
NAMES = ["one", "two", None, "not a name"]

nodes, dataset_ids = st.sampled_from(NODES), st.sampled_from(DATASETS)
addresses = st.sampled_from([None, "127.0.0.1", "192.0.2.1", "0.0.0.0", "::"])  # noqa: S104  # nothing is bound
container_names = st.sampled_from([ContainerName("web"), ContainerName("db")])


@st.composite
def containers(draw: st.DrawFn) -> Container:
    """
    A small container.
    """
    mounted = draw(st.lists(dataset_ids, max_size=2))
    ports = draw(st.lists(st.tuples(st.sampled_from([80, 81]), addresses), max_size=1))
    return Container(
        name=draw(container_names),
        node_id=draw(nodes),
        command=pvector(["serve"]),
        mounts=pvector(Mount(dataset_id=dataset_id) for dataset_id in mounted),
        ports=pvector(Port(internal=number, external=number, host_address=address) for number, address in ports),
    )


simple_commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(CreateDataset, dataset_id=dataset_ids, primary=nodes, name=st.sampled_from(NAMES)),
    st.builds(ChangePrimary, dataset_id=dataset_ids, primary=nodes),
    st.builds(RenameDataset, dataset_id=dataset_ids, name=st.sampled_from(NAMES)),
    st.builds(ResizeDataset, dataset_id=dataset_ids, maximum_size_bytes=st.sampled_from([None, 1, 2**27])),
    st.builds(DeleteDataset, dataset_id=dataset_ids),
    st.builds(PutContainer, container=containers()),
    st.builds(RemoveContainer, name=container_names),
    st.builds(PutNode, node_id=nodes, name=st.sampled_from(["alpha", "beta", None])),
    st.builds(StartMove, dataset_id=dataset_ids, target=nodes),
    st.builds(CancelMove, move_id=st.builds(MoveId, st.builds(UUID, int=st.sampled_from([100, 100, 101])))),
    st.builds(AcquireLease, dataset_id=dataset_ids, node_id=nodes, now=st.just(NOW)),
    st.builds(ReleaseLease, dataset_id=dataset_ids, now=st.just(NOW)),
)
commands = st.one_of(
    simple_commands,
    st.builds(lambda parts: ApplyAll(commands=pvector(parts)), st.lists(simple_commands, max_size=4)),
    st.builds(UnderLease, command=simple_commands, rule=st.sampled_from(LeaseRule)),
)
# What the owners do by themselves between two commands: nothing, or make what they are asked for.
scripts = st.lists(st.tuples(commands, st.booleans()), max_size=15)


def reports(state: State) -> PMap[NodeId, NodeObservation]:
    """
    Nodes that have made and mounted all that they own.
    """
    owned: dict[NodeId, dict[DatasetId, DatasetObservation]] = {node_id: {} for node_id in NODES}
    for dataset_id, ownership in state.ownerships.items():
        owned[ownership.owner][dataset_id] = DatasetObservation(
            dataset_id=dataset_id, role=Role.OWNER, epoch=ownership.epoch, mounted=True
        )
    return pmap(
        {
            node_id: NodeObservation(
                node_id=node_id,
                era=UUID(int=9),
                address="192.0.2.1",
                transfer_port=4525,
                version="1",
                storage="memory",
                runtime="memory",
                container_fields=pvector(["command", "mounts", "ports"]),
                storage_known=True,
                datasets=pmap(datasets),
            )
            for node_id, datasets in owned.items()
        }
    )


def advanced(state: State, step: int) -> State:
    """
    The state after every dataset has gone one row of the table further.
    """
    for dataset_id, ownership in state.ownerships.items():
        situation = Situation(
            dataset=served(state.datasets[dataset_id], state.dataset_leases.get(dataset_id)),
            ownership=ownership,
            known_nodes=state.nodes,
            nodes=reports(state),
            now_seconds=1.0,
            next_move_id=MoveId(UUID(int=101 + step % 2)),
        )
        found = transition(situation)
        if found is not None:
            state = state.set(ownerships=state.ownerships.set(dataset_id, found[1]))
    return state


def breaches(state: State) -> list[str]:
    """
    What doesn't hold in a state.
    """
    found: list[str] = []
    users: dict[DatasetId, str] = {}
    ports: dict[NodeId, list[tuple[Port, None]]] = {}
    for container in state.containers.values():
        for mount in container.mounts:
            dataset = state.datasets[mount.dataset_id]
            if dataset.deleted or dataset.primary != container.node_id:
                found.append(f"{container.name} can't have {mount.dataset_id}")
            if users.setdefault(mount.dataset_id, container.name) != container.name:
                found.append(f"{mount.dataset_id} is used twice")
        ports.setdefault(container.node_id, []).extend((port, None) for port in container.ports)
    for published in ports.values():
        found += [f"port {port_text(port)} is used twice" for port, _, _ in excluded(published)]
    names = [dataset.name for dataset in state.datasets.values() if dataset.name and not dataset.deleted]
    node_names = [node.name for node in state.nodes.values() if node.name]
    if len(names) != len(set(names)) or len(node_names) != len(set(node_names)):
        found.append("a name is used twice")
    if state.datasets.keys() != state.ownerships.keys():
        found.append("a dataset without an owner")
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scripts)
def test_state_holds_together(script: list[tuple[Command, bool]]) -> None:
    """
    Every command is answered, and whatever is accepted leaves a state in which all rules hold.
    """
    state = BEGINNING
    for step, (command, goes_on) in enumerate(script):
        decision = decide(state, command, reports(state))
        if not isinstance(decision, Refusal):
            state = changed(state, decision, revision=step)
        if goes_on:
            state = advanced(state, step)

        assert [] == breaches(state)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scripts)
def test_only_owners_are_left_alone(script: list[tuple[Command, bool]]) -> None:
    """
    No command ever changes who owns a dataset or under which epoch, and none takes an id back.
    """
    state = BEGINNING
    for step, (command, goes_on) in enumerate(script):
        before = state
        decision = decide(state, command, reports(state))
        if not isinstance(decision, Refusal):
            state = changed(state, decision, revision=step)

        kept = {
            dataset_id: (ownership.owner, ownership.epoch, ownership.created, ownership.move)
            for dataset_id, ownership in state.ownerships.items()
            if dataset_id in before.ownerships
        }
        assert kept == {
            dataset_id: (ownership.owner, ownership.epoch, ownership.created, ownership.move)
            for dataset_id, ownership in before.ownerships.items()
        }
        deleted = {dataset.dataset_id for dataset in before.datasets.values() if dataset.deleted}
        assert deleted <= {dataset.dataset_id for dataset in state.datasets.values() if dataset.deleted}
        if goes_on:
            state = advanced(state, step)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scripts)
def test_leased_datasets_are_served_as_before(script: list[tuple[Command, bool]]) -> None:
    """
    Unless it is forced, nothing that is asked for changes how a leased dataset is served before its lease has ended,
    but that it stays where it is.
    """
    state = BEGINNING
    for step, (command, goes_on) in enumerate(script):
        before = state
        decision = decide(state, command, reports(state))
        if not isinstance(decision, Refusal):
            state = changed(state, decision, revision=step)
        forced = isinstance(command, UnderLease) and command.rule is LeaseRule.FORCE
        for dataset_id in {*before.dataset_leases} & {*state.dataset_leases} & {*before.datasets}:
            was = served(before.datasets[dataset_id], before.dataset_leases[dataset_id])
            now = served(state.datasets[dataset_id], state.dataset_leases[dataset_id])
            stays = now.primary in (was.primary, state.ownerships[dataset_id].owner)
            kept = (was.maximum_size_bytes, was.deleted) == (now.maximum_size_bytes, now.deleted)

            assert forced or (stays and kept)
        if goes_on:
            state = advanced(state, step)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scripts, simple_commands.filter(lambda command: not isinstance(command, CreateDataset | RemoveContainer)))
def test_twice_is_as_once(script: list[tuple[Command, bool]], command: Command) -> None:
    """
    What was accepted once changes nothing when it is asked for again at once.
    """
    state = BEGINNING
    for step, (earlier, goes_on) in enumerate(script):
        decision = decide(state, earlier, reports(state))
        if not isinstance(decision, Refusal):
            state = changed(state, decision, revision=step)
        state = advanced(state, step) if goes_on else state
    decision = decide(state, command, reports(state))
    if isinstance(decision, Refusal):
        return
    after = changed(state, decision, revision=99)

    again = decide(after, command, reports(after))
    assert isinstance(again, Refusal) or not again
