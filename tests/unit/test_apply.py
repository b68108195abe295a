"""
Deployment documents against the cluster.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from pyrsistent import PMap, pmap, pvector

from flocker_control.apply import Plan, plan
from flocker_control.decisions import decide
from flocker_control.state import Changes, State, Stored, changed
from flocker_py.deployed import Deployment
from flocker_py.deployment import parse
from flocker_py.model import (
    Container,
    ContainerName,
    Dataset,
    DatasetId,
    Mount,
    Node,
    NodeId,
    OverrunPolicy,
    Ownership,
    PartitionPolicy,
    Port,
    StartFailurePolicy,
)
from flocker_py.observed import DatasetObservation, NodeObservation
from flocker_py.storage import Role

A, B = (NodeId(UUID(f"00000000-0000-4000-8000-00000000000{letter}")) for letter in "ab")
D1, D2 = (DatasetId(UUID(f"00000000-0000-4000-8000-0000000000d{number}")) for number in "12")
NEW = DatasetId(UUID("99999999-0000-4000-8000-000000000000"))
MIB = 1024**2


def node_report(node_id: NodeId, *datasets: DatasetObservation, free_bytes: int = 10**12) -> NodeObservation:
    """
    A node that is connected, with a runtime that can run commands.
    """
    return NodeObservation(
        node_id=node_id,
        era=UUID(int=1),
        address="192.0.2.1",
        transfer_port=4525,
        version="1",
        storage="memory",
        runtime="process",
        free_bytes=free_bytes,
        storage_known=True,
        container_fields=pvector(["command", "mounts", "ports", "environment", "on_partition.fence"]),
        datasets=pmap({dataset.dataset_id: dataset for dataset in datasets}),
    )


BOTH: PMap[NodeId, NodeObservation] = pmap({A: node_report(A), B: node_report(B)})


def state(*records: Stored) -> State:
    """
    Nodes n1 and n2, and these records.
    """
    nodes = (Node(node_id=A, name="n1", address="192.0.2.1"), Node(node_id=B, name="n2", address="192.0.2.2"))
    return changed(State(), Changes().put(*nodes, *records), revision=5)


def dataset(dataset_id: DatasetId = D1, primary: NodeId = A, name: str | None = "pg", **fields: Any) -> Dataset:
    """
    A dataset as it is wanted.
    """
    return Dataset(dataset_id=dataset_id, primary=primary, name=name, **fields)


def owned(dataset_id: DatasetId = D1, owner: NodeId = A, **fields: Any) -> Ownership:
    """
    Its ownership.
    """
    return Ownership(dataset_id=dataset_id, owner=owner, created=True, **fields)


def container(name: str = "db", node: NodeId = A, *mounted: DatasetId, **fields: Any) -> Container:
    """
    A container that runs a command.
    """
    mounts = pvector(Mount(dataset_id=dataset_id) for dataset_id in mounted)
    return Container(name=ContainerName(name), node_id=node, command=pvector(["serve"]), mounts=mounts, **fields)


def document(**sections: Any) -> Deployment:
    """
    A document with two nodes by name, and these sections.
    """
    sections = {"version": 2, "cluster": {"name": "test"}, "nodes": {"n1": {}, "n2": {}}, **sections}
    parsed = parse(sections)
    assert isinstance(parsed, Deployment), parsed
    return parsed


def planned(present: State, observed: PMap[NodeId, NodeObservation] = BOTH, **sections: Any) -> Plan:
    """
    The plan for a document that can be carried out.
    """
    found = plan(document(**sections), present, observed, dict.fromkeys(sections.get("volumes", {}), NEW))
    assert isinstance(found, Plan), found
    return found


def complaints(
    present: State, observed: PMap[NodeId, NodeObservation] = BOTH, **sections: Any
) -> list[tuple[tuple[str | int, ...], str]]:
    """
    What stands in the way of a document.
    """
    found = plan(document(**sections), present, observed, dict.fromkeys(sections.get("volumes", {}), NEW))
    assert not isinstance(found, Plan), found.steps
    return [(complaint.pointer, complaint.text) for complaint in found]


def steps(found: Plan) -> list[tuple[str, str, str]]:
    """
    Its steps, without their texts.
    """
    return [(step.action, step.kind, step.name) for step in found.steps]


def outcome(present: State, found: Plan) -> Changes:
    """
    What carrying out a plan changes.
    """
    changes = decide(present, found.command, BOTH)
    assert isinstance(changes, Changes)
    return changes


DB = {"command": ["serve"], "node": "n1"}


class TestNodes:
    """
    Nodes of the document.
    """

    @pytest.mark.parametrize(
        "described", [{}, {"uuid": str(A)}, {"address": "192.0.2.1"}, {"uuid": str(A), "address": "192.0.2.1"}], ids=str
    )
    def test_known(self, described: dict[str, str]) -> None:
        """
        A node is known by its name, its id or its address, and if nothing is new there is nothing to do.
        """
        assert [] == steps(planned(state(), nodes={"n1": described}))

    @pytest.mark.parametrize("described", [{"uuid": str(A)}, {"address": "192.0.2.1"}], ids=str)
    def test_gets_its_name(self, described: dict[str, str]) -> None:
        """
        A node that is recognised by id or address gets the name of the document.
        """
        present = state()

        found = planned(present, nodes={"first": described})
        assert [("name-node", "node", "first")] == steps(found)
        assert Changes().put(Node(node_id=A, name="first", address="192.0.2.1")) == outcome(present, found)

    def test_nameless_node_gets_a_name(self) -> None:
        """
        The first name of a node is said without an old one.
        """
        present = state(Node(node_id=A, address="192.0.2.1"))

        text = planned(present, nodes={"n1": {"uuid": str(A)}}).steps[0].text
        assert f"call the node {A} n1" == text

    def test_labels(self) -> None:
        """
        Labels of the document replace those of the node.
        """
        present = state()

        found = planned(present, nodes={"n1": {"labels": {"rack": "1"}}})
        assert [("update", "node", "n1")] == steps(found)
        assert "1" == changed(present, outcome(present, found), revision=6).nodes[A].labels["rack"]

    @pytest.mark.parametrize(
        ("described", "pointer"),
        [
            ({}, ("nodes", "n9")),
            ({"uuid": str(D1)}, ("nodes", "n9", "uuid")),
            ({"address": "192.0.2.9"}, ("nodes", "n9", "address")),
        ],
        ids=str,
    )
    def test_unknown(self, described: dict[str, str], pointer: tuple[str, ...]) -> None:
        """
        A node that the cluster doesn't have is an error that lists those that it has.
        """
        [(found, text)] = complaints(state(), nodes={"n9": described})

        assert (pointer, True) == (found, "n1 at 192.0.2.1, n2 at 192.0.2.2" in text)

    @pytest.mark.parametrize(
        ("described", "pointer"),
        [
            ({}, ("nodes", "n2")),
            ({"uuid": str(B)}, ("nodes", "n2", "uuid")),
            ({"address": "192.0.2.2"}, ("nodes", "n2", "address")),
        ],
        ids=str,
    )
    def test_removed(self, described: dict[str, str], pointer: tuple[str, ...]) -> None:
        """
        A node that was removed from the cluster is none of its nodes, and the complaint says how it would become one.
        """
        present = state(Node(node_id=B, name="n2", address="192.0.2.2", removed=True))

        [(found, text)] = complaints(present, nodes={"n2": described})

        assert pointer == found
        assert text.endswith(f"was removed from this cluster: leave it out, or let it in again: flockerctl readmit {B}")

    def test_cluster_without_nodes(self) -> None:
        """
        Where no agent has ever connected, that is what the complaint says.
        """
        [(_, text)] = complaints(State(), nodes={"n1": {}})

        assert "none yet" in text

    def test_address_of_two(self) -> None:
        """
        An address that two nodes have recognises neither.
        """
        present = state(Node(node_id=B, address="192.0.2.1"))

        [(pointer, text)] = complaints(present, nodes={"n1": {"address": "192.0.2.1"}})
        assert (("nodes", "n1", "address"), True) == (pointer, str(A) in text and str(B) in text)

    def test_same_node_twice(self) -> None:
        """
        Two names can't mean one node.
        """
        [(pointer, text)] = complaints(state(), nodes={"n1": {}, "first": {"uuid": str(A)}})

        assert (("nodes", "n1"), True) == (pointer, "first" in text)

    def test_name_of_another(self) -> None:
        """
        A node can't get the name of another that keeps it.
        """
        [(pointer, text)] = complaints(state(), nodes={"n2": {"uuid": str(A)}})

        assert (("nodes", "n2"), True) == (pointer, "n2 already" in text)

    def test_other_address(self) -> None:
        """
        Where a node says another address of itself than the document, the reader is warned.
        """
        [warning] = planned(state(), nodes={"n1": {"uuid": str(A), "address": "192.0.2.77"}}).warnings

        assert "192.0.2.77" in warning

    def test_node_is_away(self) -> None:
        """
        The reader is warned of nodes that are not connected.
        """
        [warning] = planned(state(), pmap({A: BOTH[A]})).warnings

        assert "node n2" in warning


class TestVolumes:
    """
    Volumes of the document.
    """

    def test_new(self) -> None:
        """
        A volume that isn't there is made, with the id that was drawn for it.
        """
        present = state()
        volume = {"primary": "n2", "size": "1G", "labels": {"a": "b"}, "max_downtime": "5s", "on_overrun": "cut-over"}
        volume |= {"on_start_failure": "stay", "on_partition": "fence"}

        found = planned(present, volumes={"pg": volume})
        assert ["create volume pg on n2, 1 GiB"] == [step.text for step in found.steps]
        expected = Changes().put(
            Dataset(
                dataset_id=NEW,
                primary=B,
                name="pg",
                maximum_size_bytes=1024 * MIB,
                metadata=pmap({"a": "b"}),
                max_downtime_seconds=5.0,
                on_overrun=OverrunPolicy.CUT_OVER,
                on_start_failure=StartFailurePolicy.STAY,
                on_partition=PartitionPolicy.FENCE,
            ),
            Ownership(dataset_id=NEW, owner=B),
        )
        assert expected == outcome(present, found)

    def test_new_with_its_own_id(self) -> None:
        """
        A volume may bring its id.
        """
        present = state()

        found = planned(present, volumes={"pg": {"id": str(D2), "primary": "n1"}})
        assert Changes().put(dataset(D2), Ownership(dataset_id=D2, owner=A)) == outcome(present, found)

    def test_again(self) -> None:
        """
        What is so already needs nothing.
        """
        present = state(dataset(maximum_size_bytes=64 * MIB), owned())

        assert [] == steps(planned(present, volumes={"pg": {"primary": "n1", "size": "64M"}}))

    def test_left_out_stays(self) -> None:
        """
        What the document leaves out of a volume stays as it is.
        """
        present = state(dataset(maximum_size_bytes=64 * MIB, metadata=pmap({"a": "b"}), primary=B), owned(owner=B))

        assert [] == steps(planned(present, volumes={"pg": {}}))

    @pytest.mark.parametrize(
        ("volume", "action", "fields"),
        [
            ({"size": "128M"}, "resize", {"maximum_size_bytes": 128 * MIB}),
            ({"labels": {"x": "y"}}, "update", {"metadata": pmap({"x": "y"})}),
            ({"max_downtime": 9}, "update", {"max_downtime_seconds": 9.0}),
            ({"on_overrun": "cut-over"}, "update", {"on_overrun": OverrunPolicy.CUT_OVER}),
            ({"on_start_failure": "stay"}, "update", {"on_start_failure": StartFailurePolicy.STAY}),
            ({"on_partition": "fence"}, "update", {"on_partition": PartitionPolicy.FENCE}),
            ({"primary": "n2"}, "move", {"primary": B}),
            ({"state": "deleted"}, "delete", {"deleted": True}),
        ],
        ids=str,
    )
    def test_change(self, volume: dict[str, Any], action: str, fields: dict[str, Any]) -> None:
        """
        Each difference is one step, and changes what it names.
        """
        present = state(dataset(maximum_size_bytes=64 * MIB), owned())

        found = planned(present, volumes={"pg": volume})
        assert [(action, "dataset", "pg")] == steps(found)
        assert Changes().put(dataset(maximum_size_bytes=64 * MIB).set(**fields)) == outcome(present, found)

    def test_first_limit(self) -> None:
        """
        A volume without a limit can get one.
        """
        found = planned(state(dataset(), owned()), volumes={"pg": {"size": "128M"}})

        assert ["resize volume pg from no limit to 128 MiB"] == [step.text for step in found.steps]

    def test_renamed(self) -> None:
        """
        A volume that says its old name keeps its data under the new one.
        """
        present = state(dataset(name="old"), owned())

        found = planned(present, volumes={"pg": {"renamed_from": "old"}})
        assert Changes().put(dataset(name="pg")) == outcome(present, found)

    def test_renamed_already(self) -> None:
        """
        The old name may stay in the document after the renaming.
        """
        assert [] == steps(planned(state(dataset(), owned()), volumes={"pg": {"renamed_from": "old"}}))

    def test_adopted_by_id(self) -> None:
        """
        A dataset without a name gets that of the volume which names its id.
        """
        present = state(dataset(name=None), owned())

        found = planned(present, volumes={"pg": {"id": str(D1)}})
        assert Changes().put(dataset(name="pg")) == outcome(present, found)

    def test_move_again(self) -> None:
        """
        Applying the same document again tries a move again that was given up.
        """
        present = state(dataset(primary=B), owned(refused_primary=B))

        found = planned(present, volumes={"pg": {"primary": "n2"}})
        assert ["move volume pg from n1 to n2 again"] == [step.text for step in found.steps]
        assert Changes().put(owned()) == outcome(present, found)

    @pytest.mark.parametrize("volume", [{"state": "deleted"}, {"state": "deleted", "id": str(D2)}], ids=str)
    def test_deleted_already(self, volume: dict[str, str]) -> None:
        """
        A volume that shall be deleted and isn't there needs nothing.
        """
        present = state(dataset(D2, name="other", deleted=True), owned(D2))

        assert [] == steps(planned(present, volumes={"pg": volume}))

    @pytest.mark.parametrize(
        ("volume", "pointer", "words"),
        [
            ({}, ("volumes", "pg"), "needs a primary"),
            ({"renamed_from": "nothing"}, ("volumes", "pg", "renamed_from"), "no volume nothing"),
            ({"id": str(D2), "primary": "n1"}, ("volumes", "pg", "id"), "never used again"),
            ({"primary": "192.0.2.99"}, ("volumes", "pg", "primary"), "192.0.2.99"),
        ],
        ids=str,
    )
    def test_cannot_be(self, volume: dict[str, Any], pointer: tuple[str, ...], words: str) -> None:
        """
        A volume that can't be made is complained about where it says so.
        """
        present = state(dataset(D2, name="other", deleted=True), owned(D2))

        [(found, text)] = complaints(present, volumes={"pg": volume})
        assert (pointer, True) == (found, words in text)

    def test_both_names_are_there(self) -> None:
        """
        A renaming whose old and new name both exist is a question, not a guess.
        """
        present = state(dataset(), owned(), dataset(D2, name="old"), owned(D2))

        [(pointer, _)] = complaints(present, volumes={"pg": {"renamed_from": "old"}})
        assert ("volumes", "pg", "renamed_from") == pointer

    def test_name_is_another_dataset(self) -> None:
        """
        A volume whose name and id mean two datasets is refused.
        """
        present = state(dataset(), owned(), dataset(D2, name="other"), owned(D2))

        [(pointer, text)] = complaints(present, volumes={"pg": {"id": str(D2)}})
        assert (("volumes", "pg", "id"), True) == (pointer, str(D1) in text)

    def test_two_volumes_of_one_dataset(self) -> None:
        """
        Two volumes can't mean one dataset, one by its name and the other by its id.
        """
        present = state(dataset(), owned())

        [(pointer, text)] = complaints(present, volumes={"pg": {}, "postgres": {"id": str(D1)}})
        assert (("volumes", "postgres"), True) == (pointer, "volume pg" in text)

    def test_used_by_an_unmanaged_app(self) -> None:
        """
        A volume isn't taken away from an app that the document doesn't name.
        """
        present = state(dataset(), owned(), container("db", A, D1))

        [(pointer, text)] = complaints(present, volumes={"pg": {"primary": "n2"}})
        assert (("volumes", "pg"), True) == (pointer, "container db" in text)

    def test_no_room(self) -> None:
        """
        A move to a node without room is refused before it begins.
        """
        seen = DatasetObservation(dataset_id=D1, role=Role.OWNER, epoch=1, used_bytes=2000)
        observed = pmap({A: node_report(A, seen), B: node_report(B, free_bytes=1000)})

        [(pointer, text)] = complaints(state(dataset(), owned()), observed, volumes={"pg": {"primary": "n2"}})
        assert (("volumes", "pg"), True) == (pointer, "room" in text)

    def test_smaller_than_its_contents(self) -> None:
        """
        The reader is warned of a size that is smaller than what is there.
        """
        seen = DatasetObservation(dataset_id=D1, role=Role.OWNER, epoch=1, used_bytes=100 * MIB)
        observed = BOTH.set(A, node_report(A, seen))

        [warning] = planned(state(dataset(), owned()), observed, volumes={"pg": {"size": "64M"}}).warnings
        assert "holds 100 MiB" in warning

    def test_links_that_lead_nowhere(self) -> None:
        """
        The reader is warned of links that will lead to other nodes, where ports aren't led there.
        """
        ports, link = [{"internal": 1, "external": 80}], {"alias": "db", "local_port": 1, "remote_port": 80}
        fields = pvector(["command", "links", "ports"])
        observed = pmap({node_id: report.set(container_fields=fields) for node_id, report in BOTH.items()})
        web = {"node": "n1", "command": "serve", "links": [link]}
        db = {"node": "n2", "command": "serve", "ports": ports}
        present = state(container("db", A, ports=pvector([Port(internal=1, external=80)])))

        [warning] = planned(present, observed, apps={"web": web, "db": db}).warnings
        together = planned(present, observed, apps={"web": web, "db": {**db, "node": "n1"}}).warnings
        without = planned(present, observed, apps={"web": web, "db": {"state": "deleted"}}).warnings
        assert "app web: links: db leads nowhere: port 80 is published by container db on node n2" in warning
        assert ([], []) == ([*together], [*without])


class TestApps:
    """
    Apps of the document.
    """

    def test_new_with_its_volume(self) -> None:
        """
        A new app and its new volume are made together, where the app runs.
        """
        present = state()

        found = planned(present, volumes={"pg": {}}, apps={"db": {**DB, "mounts": [{"volume": "pg"}]}})
        assert [("create", "dataset", "pg"), ("start", "container", "db")] == steps(found)
        expected = Changes().put(dataset(NEW), Ownership(dataset_id=NEW, owner=A), container("db", A, NEW))
        assert expected == outcome(present, found)

    def test_again(self) -> None:
        """
        An app that runs as it should needs nothing.
        """
        present = state(dataset(), owned(), container("db", A, D1))

        assert [] == steps(planned(present, volumes={"pg": {}}, apps={"db": {**DB, "mounts": [{"volume": "pg"}]}}))

    def test_moves_with_its_volume(self) -> None:
        """
        An app that changes its node takes its volume along.
        """
        present = state(dataset(), owned(), container("db", A, D1))
        app = {**DB, "node": "n2", "mounts": [{"volume": "pg"}]}

        found = planned(present, volumes={"pg": {}}, apps={"db": app})
        assert ["move volume pg from n1 to n2", "move db from n1 to n2"] == [step.text for step in found.steps]
        assert Changes().put(dataset(primary=B), container("db", B, D1)) == outcome(present, found)

    def test_moves_and_changes(self) -> None:
        """
        A move with a new definition says so.
        """
        found = planned(state(container()), apps={"db": {"command": ["other"], "node": "n2"}})

        assert ["move db from n1 to n2, with its new definition: command changed"] == [
            step.text for step in found.steps
        ]

    def test_new_definition(self) -> None:
        """
        An app with a new definition is restarted.
        """
        found = planned(state(container()), apps={"db": {"command": ["other"], "node": "n1"}})

        assert [("restart", "container", "db")] == steps(found)

    def test_node_by_its_address(self) -> None:
        """
        An app may run on a node that the document doesn't list.
        """
        found = planned(state(), nodes={}, apps={"db": {"command": ["serve"], "node": "192.0.2.2"}})

        assert ["start db on n2"] == [step.text for step in found.steps]

    def test_node_by_its_id(self) -> None:
        """
        So it may by the node's id.
        """
        found = planned(state(), nodes={}, apps={"db": {"command": ["serve"], "node": str(B)}})

        assert ["start db on n2"] == [step.text for step in found.steps]

    def test_nameless_node(self) -> None:
        """
        A node without a name is called by its id.
        """
        present = state(Node(node_id=B, address="192.0.2.2"))

        found = planned(present, nodes={}, apps={"db": {"command": ["serve"], "node": "192.0.2.2"}})
        assert [f"start db on {B}"] == [step.text for step in found.steps]

    def test_node_nowhere(self) -> None:
        """
        An app on a node that isn't there is complained about.
        """
        [(pointer, text)] = complaints(state(), apps={"db": {"command": ["serve"], "node": "192.0.2.9"}})

        assert (("apps", "db", "node"), True) == (pointer, "192.0.2.9" in text)

    def test_deleted(self) -> None:
        """
        An app that shall be deleted is stopped; its volume stays.
        """
        present = state(dataset(), owned(), container("db", A, D1))

        found = planned(present, apps={"db": {"state": "deleted"}})
        assert [("stop", "container", "db")] == steps(found)
        assert Changes().delete("container/db") == outcome(present, found)

    def test_deleted_already(self) -> None:
        """
        An app that shall be deleted and isn't there needs nothing.
        """
        assert [] == steps(planned(state(), apps={"db": {"state": "deleted"}}))

    def test_volume_goes_to_another_app(self) -> None:
        """
        A volume can go from one app to another in one document.
        """
        present = state(dataset(), owned(), container("db", A, D1))
        apps = {"db": DB, "web": {**DB, "mounts": [{"volume": "pg"}]}}

        found = planned(present, volumes={"pg": {}}, apps=apps)
        assert Changes().put(container("db", A), container("web", A, D1)) == outcome(present, found)

    def test_every_refusal_is_told(self) -> None:
        """
        All that the cluster has against a document is told at once, each at its place.
        """
        present = state(container("other", A, ports=pvector([Port(internal=1, external=80)])))
        apps = {
            "db": {**DB, "ports": ["80:1"]},
            "web": {**DB, "memory": "64M"},
        }

        assert {("apps", "db"), ("apps", "web")} == {pointer for pointer, _ in complaints(present, apps=apps)}


class TestUnmanaged:
    """
    What the document doesn't name.
    """

    def test_stays(self) -> None:
        """
        Absence never deletes: what the document doesn't name is listed, and stays.
        """
        present = state(dataset(), owned(), dataset(D2, name=None), owned(D2), container("db", A, D1))

        found = planned(present)
        assert [("dataset", "pg"), ("dataset", str(D2)), ("container", "db")] == [
            (thing.kind, thing.name) for thing in found.unmanaged
        ]
        assert [] == steps(found)

    def test_deleted_is_not_listed(self) -> None:
        """
        What has been deleted is nobody's business any more.
        """
        assert 0 == len(planned(state(dataset(deleted=True), owned())).unmanaged)
