"""
A deployment document against the cluster: what would change, as one command and as steps for its reader.

What the document names becomes as it says; what it doesn't name stays as it is, and datasets and containers of that
kind are listed as unmanaged. A volume is known by its name, which the cluster remembers together with a random id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pyrsistent import PMap, PVector, pvector

from flocker_control.applied_nodes import ResolvedNodes, resolved_nodes
from flocker_control.applied_volumes import Volume, resolved_volumes, volume_commands, volume_warnings
from flocker_control.commands import ApplyAll, Command, PutContainer, RemoveContainer
from flocker_control.dead_links import all_link_warnings
from flocker_control.decisions import refusals
from flocker_control.differences import difference_texts
from flocker_control.refusals import Refusal
from flocker_control.state import State
from flocker_control.steps import Step, Unmanaged
from flocker_py.deployed import DeployedApp, Deployment, container
from flocker_py.documents import Complaint, Pointer
from flocker_py.model import Container, DatasetId, NodeId
from flocker_py.observed import NodeObservation
from flocker_py.records import Record, sequence, value


class Plan(Record):
    """
    What would be done.

    :param command: all of it, or nothing.
    :param steps: the same, for a reader.
    :param unmanaged: what the document doesn't name and the cluster has.
    :param warnings: what can be done but may not be meant.
    """

    command: ApplyAll = value(ApplyAll)
    steps: PVector[Step] = sequence(Step, default=())
    unmanaged: PVector[Unmanaged] = sequence(Unmanaged, default=())
    warnings: PVector[str] = sequence(str, default=())


def plan(
    deployment: Deployment,
    state: State,
    observed: PMap[NodeId, NodeObservation],
    new_ids: Mapping[str, DatasetId],
) -> Plan | list[Complaint]:
    """
    What has to change for the cluster to be as a document says; or everything that stands in the way.

    :param new_ids: an unused id for each volume of the document, should it have to be made.
    """
    nodes = resolved_nodes(deployment, state)
    volumes, volume_complaints = resolved_volumes(deployment, state, nodes, new_ids)
    complaints = [*nodes.complaints, *volume_complaints, *_place_complaints(deployment, nodes)]
    if complaints:
        return complaints
    parts: list[tuple[Command, tuple[Step, ...]]] = [
        *nodes.commands,
        *_removals(deployment, state),
        *(part for volume in volumes for part in volume_commands(volume, state, nodes)),
        *_containers(deployment, state, nodes, volumes),
    ]
    command = ApplyAll(commands=pvector(part for part, _ in parts))
    found = refusals(state, command, observed)
    if found:
        pointers = _pointers(nodes, volumes)
        return [_complaint(refusal, pointers) for refusal in found]
    return Plan(
        command=command,
        steps=pvector(step for _, steps in parts for step in steps),
        unmanaged=pvector(_unmanaged(deployment, state, volumes)),
        warnings=pvector(
            (
                *nodes.warnings,
                *volume_warnings(volumes, state, observed),
                *_links(command, state, observed),
                *_absent(nodes, observed),
            )
        ),
    )


# -- apps --------------------------------------------------------------------------------------------------------------


def _place_complaints(deployment: Deployment, nodes: ResolvedNodes) -> Iterator[Complaint]:
    for name, app in sorted(deployment.apps.items()):
        if app.node is not None and not app.deleted and nodes.of(app.node) is None and nodes.is_unlisted(app.node):
            yield Complaint(pointer=("apps", name, "node"), text=nodes.unknown_text(app.node))


def _removals(deployment: Deployment, state: State) -> Iterator[tuple[Command, tuple[Step, ...]]]:
    for name, app in sorted(deployment.apps.items()):
        if app.deleted and name in state.containers:
            yield (
                RemoveContainer(name=name),
                (_step("stop", name, f"stop {name} and run it no more; its volumes stay"),),
            )


def _containers(
    deployment: Deployment, state: State, nodes: ResolvedNodes, volumes: tuple[Volume, ...]
) -> Iterator[tuple[Command, tuple[Step, ...]]]:
    dataset_ids = {volume.wanted.name: volume.dataset_id for volume in volumes}
    for name, app in sorted(deployment.apps.items()):
        node_id = None if app.deleted or app.node is None else nodes.of(app.node)
        if node_id is None:
            continue
        wanted, present = container(app, node_id, dataset_ids), state.containers.get(name)
        if wanted != present:
            yield PutContainer(container=wanted), (_container_step(app, wanted, present, nodes),)


def _container_step(app: DeployedApp, wanted: Container, present: Container | None, nodes: ResolvedNodes) -> Step:
    target = nodes.called(wanted.node_id)
    if present is None:
        return _step("start", app.name, f"start {app.name} on {target}")
    differences = difference_texts(present, wanted)
    definition = f"with its new definition: {', '.join(differences)}"
    if present.node_id == wanted.node_id:
        return _step("restart", app.name, f"restart {app.name} on {target} {definition}")
    changed = f", {definition}" if differences else ""
    source = nodes.called(present.node_id)
    return _step("move", app.name, f"move {app.name} from {source} to {target}{changed}")


def _step(action: str, name: str, text: str) -> Step:
    return Step(action=action, kind="container", name=name, text=text)


# -- what the reader should know ---------------------------------------------------------------------------------------


def _pointers(nodes: ResolvedNodes, volumes: tuple[Volume, ...]) -> Mapping[str, Pointer]:
    """
    Where the document speaks of the record under a key.
    """
    pointers: dict[str, Pointer] = {
        f"dataset/{volume.dataset_id}": ("volumes", volume.wanted.name) for volume in volumes
    }
    pointers |= {f"node/{node_id}": ("nodes", name) for name, node_id in nodes.listed.items()}
    return pointers


def _complaint(refusal: Refusal, pointers: Mapping[str, Pointer]) -> Complaint:
    kind, _, name = refusal.about.partition("/")
    fallback: Pointer = ("apps", name) if kind == "container" else ()
    return Complaint(pointer=pointers.get(refusal.about, fallback), text=refusal.text)


def _unmanaged(deployment: Deployment, state: State, volumes: tuple[Volume, ...]) -> Iterator[Unmanaged]:
    managed = {volume.dataset_id for volume in volumes}
    for dataset_id, dataset in sorted(state.datasets.items()):
        if dataset_id not in managed and not dataset.deleted:
            name = dataset.name or str(dataset_id)
            yield Unmanaged(kind="dataset", name=name, text=f"volume {name} is in the cluster and not in the document")
    for name in sorted(state.containers):
        if name not in deployment.apps:
            yield Unmanaged(kind="container", name=name, text=f"app {name} is in the cluster and not in the document")


def _links(command: ApplyAll, state: State, observed: PMap[NodeId, NodeObservation]) -> Iterator[str]:
    containers = dict(state.containers)
    for part in command.commands:
        if isinstance(part, PutContainer):
            containers[part.container.name] = part.container
        elif isinstance(part, RemoveContainer):
            containers.pop(part.name)
    for name, warning in all_link_warnings(containers, state, observed):
        yield f"app {name}: {warning}"


def _absent(nodes: ResolvedNodes, observed: PMap[NodeId, NodeObservation]) -> Iterator[str]:
    for name, node_id in sorted(nodes.listed.items()):
        if node_id not in observed:
            yield f"node {name} has no connection to the control service: what concerns it waits until it is back"
