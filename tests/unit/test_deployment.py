# ruff: noqa: E501  # the table of mistakes has one a line
"""
What a deployment document means, and what is said about one that is wrong.
"""

from __future__ import annotations

import copy
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator
from pyrsistent import pmap

from flocker_py.deployed import DeployedApp, DeployedMount, DeployedVolume, Deployment, container
from flocker_py.deployment import parse
from flocker_py.deployment_schema import DEPLOYMENT_SCHEMA
from flocker_py.documents import Complaint, Pointer
from flocker_py.model import (
    Container,
    ContainerName,
    DatasetId,
    HealthCheck,
    Link,
    Mount,
    NodeId,
    OverrunPolicy,
    PartitionPolicy,
    Port,
    PullPolicy,
    RestartName,
    RestartPolicy,
    StartFailurePolicy,
)
from flocker_py.units import GIB, MIB

N1 = "11111111-1111-4111-8111-aaaaaaaaaaaa"
N2 = "22222222-2222-4222-8222-222222222222"
DATASET = "dddddddd-dddd-4ddd-8ddd-dddddddddddd"
_ABSENT = object()

DOCUMENT: dict[str, Any] = {
    "version": 2,
    "cluster": {"name": "prod", "control": {"host": "ctl.example"}},
    "nodes": {"n1": {"uuid": N1, "address": "192.0.2.1"}, "n2": {"address": "2001:db8::2"}},
    "volumes": {"pg": {"size": "20G"}, "spare": {"primary": "n2"}},
    "apps": {
        "db": {
            "image": "postgres:16",
            "node": "n1",
            "mounts": [{"volume": "pg", "path": "/data"}],
            "ports": ["15432:5432"],
        },
        "web": {"command": "serve --port 80", "node": "n2", "ports": [{"internal": 80, "external": 8080}]},
    },
}


def changed(*changes: tuple[Pointer, object]) -> dict[str, Any]:
    """
    The document with other values in some places; an absent one removes the place.
    """
    document = copy.deepcopy(DOCUMENT)
    for pointer, found in changes:
        *path, last = pointer
        parent: Any = document
        for key in path:
            parent = parent.setdefault(key, {}) if isinstance(parent, dict) else parent[int(key)]
        if found is _ABSENT:
            del parent[last]
        elif isinstance(parent, list):
            parent[int(last) :] = [found]
        else:
            parent[last] = found
    return document


def deployment(*changes: tuple[Pointer, object]) -> Deployment:
    parsed = parse(changed(*changes))
    assert isinstance(parsed, Deployment), parsed
    return parsed


def volume(*changes: tuple[str, object]) -> DeployedVolume:
    return deployment(*((("volumes", "pg", name), found) for name, found in changes)).volumes["pg"]


def app(*changes: tuple[str, object]) -> DeployedApp:
    return deployment(*((("apps", "db", name), found) for name, found in changes)).apps[ContainerName("db")]


def complaints(*changes: tuple[Pointer, object]) -> list[tuple[Pointer, str]]:
    parsed = parse(changed(*changes))
    assert isinstance(parsed, list), parsed
    return [(complaint.pointer, complaint.text) for complaint in parsed]


# -- what it means -----------------------------------------------------------------------------------------------------


def test_smallest_document_wants_nothing() -> None:
    """
    A document without sections is good, and changes nothing.
    """
    assert parse({"version": 2, "cluster": {"name": "prod"}}) == Deployment(cluster_name="prod")


def test_empty_sections_are_sections() -> None:
    """
    A section with nothing after its colon is an empty one.
    """
    document = {
        "version": 2,
        "cluster": {"name": "prod"},
        "nodes": None,
        "volumes": None,
        "apps": None,
        "defaults": None,
    }

    assert parse(document) == Deployment(cluster_name="prod")


def test_control_has_flockers_ports() -> None:
    """
    Where the document doesn't say otherwise, the ports are Flocker's.
    """
    control = deployment().control

    assert control is not None
    assert (control.host, control.api_port, control.agent_port) == ("ctl.example", 4523, 4524)


def test_volume_follows_its_app() -> None:
    """
    A volume without a primary is wanted where the app that mounts it runs.
    """
    assert deployment((("apps", "db", "node"), "n2")).volumes["pg"].primary == "n2"


def test_volume_that_nobody_mounts_stays() -> None:
    """
    A volume without a primary and without an app has no wish where to be.
    """
    assert deployment((("volumes", "spare", "primary"), _ABSENT)).volumes["spare"].primary is None


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("n1", "n1"),
        (N1, "n1"),
        (N1.upper(), "n1"),
        ("192.0.2.1", "n1"),
        ("2001:DB8:0::2", "n2"),
        (N2.upper(), N2),
        ("192.0.2.9", "192.0.2.9"),
        ("2001:db8:0::9", "2001:db8::9"),
    ],
)
def test_node_has_one_spelling(reference: str, expected: str) -> None:
    """
    However the document refers to a node, it is known by its name, or else by the usual spelling of what it said.
    """
    assert app(("node", reference)).node == expected


def test_volume_has_every_field() -> None:
    """
    All that can be said of a volume arrives.
    """
    assert volume(
        ("id", DATASET.upper()),
        ("primary", "n1"),
        ("labels", {"tier": "db"}),
        ("max_downtime", "500ms"),
        ("on_overrun", "cut-over"),
        ("on_start_failure", "stay"),
        ("on_partition", "fence"),
        ("renamed_from", "old"),
        ("state", "present"),
    ) == DeployedVolume(
        name="pg",
        dataset_id=DatasetId(UUID(DATASET)),
        primary="n1",
        maximum_size_bytes=20 * GIB,
        labels=pmap({"tier": "db"}),
        max_downtime_seconds=0.5,
        on_overrun=OverrunPolicy.CUT_OVER,
        on_start_failure=StartFailurePolicy.STAY,
        on_partition=PartitionPolicy.FENCE,
        renamed_from="old",
    )


def test_deleting_is_said() -> None:
    """
    A volume is deleted if the document says so.
    """
    assert deployment((("volumes", "spare", "state"), "deleted")).volumes["spare"].deleted


def test_app_has_every_field() -> None:
    """
    All that can be said of an app arrives.
    """
    found = app(
        ("command", ["postgres", "-c", ""]),
        ("env", {"PGDATA": "/data", "EMPTY": ""}),
        (
            "ports",
            ["15432:5432/udp", {"internal": 1, "external": 2}, {"internal": 3, "external": 4, "protocol": "udp"}],
        ),
        ("links", [{"alias": "Cache", "local_port": 80, "remote_port": 8080}]),
        ("restart", {"name": "on-failure", "maximum_retry_count": 3}),
        ("memory", "512M"),
        ("cpu_shares", 512),
        ("stop_grace", 2.5),
        ("labels", {"a": "b"}),
        ("state", "running"),
    )

    assert found == DeployedApp(
        name=ContainerName("db"),
        node="n1",
        image="postgres:16",
        command=("postgres", "-c", ""),  # type: ignore[arg-type]  # becomes a PVector
        environment={"PGDATA": "/data", "EMPTY": ""},  # type: ignore[arg-type]
        mounts=(DeployedMount(volume="pg", path="/data"),),  # type: ignore[arg-type]
        ports=(  # type: ignore[arg-type]
            Port(internal=5432, external=15432, protocol="udp"),
            Port(internal=1, external=2),
            Port(internal=3, external=4, protocol="udp"),
        ),
        links=(Link(alias="Cache", local_port=80, remote_port=8080),),  # type: ignore[arg-type]
        restart=RestartPolicy(name=RestartName.ON_FAILURE, maximum_retry_count=3),
        memory_bytes=512 * MIB,
        cpu_shares=512,
        stop_grace_seconds=2.5,
        labels={"a": "b"},  # type: ignore[arg-type]
    )


def test_app_with_an_image_has_every_field() -> None:
    """
    All that can be said of an image's app arrives, in one spelling.
    """
    assert app(
        ("image", "registry:5000/postgres:16"),
        ("pull_policy", "always"),
        ("entrypoint", "docker-entrypoint.sh -v"),
        ("env_file", "/etc/flocker/db.env"),
        ("mounts", ["pg:/data:ro"]),
        ("ports", ["127.0.0.1:8080:80/tcp", {"internal": 1, "external": 2, "host_ip": "2001:DB8::1"}]),
        ("cpus", 1.5),
        ("pids_limit", 100),
        ("swappiness", 0),
        ("stop_signal", "int"),
        (
            "healthcheck",
            {"test": ["CMD", "ready", ""], "interval": "2s", "timeout": "1s", "start_period": 0, "retries": 5},
        ),
        ("logging", {"driver": "json-file", "options": {"max-size": "10m"}}),
        ("read_only", True),
        ("user", "999:postgres"),
        ("cap_add", ["cap_net_admin"]),
        ("cap_drop", ["ALL"]),
        ("security_opt", ["no-new-privileges:true", "apparmor:mine"]),
    ) == DeployedApp(
        name=ContainerName("db"),
        node="n1",
        image="registry:5000/postgres:16",
        pull=PullPolicy.ALWAYS,
        entrypoint=("docker-entrypoint.sh", "-v"),  # type: ignore[arg-type]  # becomes a PVector
        environment_file="/etc/flocker/db.env",
        mounts=(DeployedMount(volume="pg", path="/data", read_only=True),),  # type: ignore[arg-type]
        ports=(  # type: ignore[arg-type]
            Port(internal=80, external=8080, host_address="127.0.0.1"),
            Port(internal=1, external=2, host_address="2001:db8::1"),
        ),
        cpus=1.5,
        pids_limit=100,
        swappiness=0,
        stop_signal="SIGINT",
        health=HealthCheck(
            command=("ready", ""),  # type: ignore[arg-type]
            interval_seconds=2.0,
            timeout_seconds=1.0,
            retries=5,
        ),
        log_driver="json-file",
        log_options={"max-size": "10m"},  # type: ignore[arg-type]
        read_only=True,
        user="999:postgres",
        capabilities_add=("NET_ADMIN",),  # type: ignore[arg-type]
        capabilities_drop=("ALL",),  # type: ignore[arg-type]
        security_options=("no-new-privileges", "apparmor=mine"),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("test", ["pg_isready -q", ["CMD-SHELL", "pg_isready -q"]])
def test_check_by_a_shell(test: object) -> None:
    """
    A check that is a text is run by a shell in the container.
    """
    check = app(("healthcheck", {"test": test})).health

    assert check == HealthCheck(command=("/bin/sh", "-c", "pg_isready -q"))  # type: ignore[arg-type]


def test_ranges_are_ports_one_by_one() -> None:
    """
    A range of ports is as many ports, and a complaint about one of them points to the range.
    """
    ports = app(("ports", ["80:80", "9000-9001:8000-8001/udp"])).ports
    found = complaints(((*DB, "ports"), ["80:80", "9000-9001:8000-8001", "9001:1"]))

    assert [(port.external, port.internal) for port in ports] == [(80, 80), (9000, 8000), (9001, 8001)]
    assert found == [((*DB, "ports", 2), "app db has this external port of the node already: 9001/tcp")]


def test_same_port_at_two_addresses() -> None:
    """
    One external port can be had at two addresses of a node by two apps, but not at an address and at all.
    """
    web = (("apps", "web", "node"), "n1")
    db_ports = ((*DB, "ports"), ["127.0.0.1:80:80"])
    apart = parse(changed(web, db_ports, (("apps", "web", "ports"), ["192.0.2.1:80:80"])))
    clash = complaints(web, db_ports, (("apps", "web", "ports"), ["81:81", "0.0.0.0:80:80"]))

    assert isinstance(apart, Deployment)
    text = "app db has this external port of the node already: 0.0.0.0:80/tcp"
    assert clash == [(("apps", "web", "ports", 1), text)]


def test_capability_added_and_dropped() -> None:
    """
    What is added can't be dropped as well.
    """
    found = complaints(((*DB, "cap_add"), ["CHOWN"]), ((*DB, "cap_drop"), ["CHOWN"]))

    assert found == [(DB, "cap_add and cap_drop: CHOWN can't be both added and dropped")]


def test_command_as_a_text_is_split_like_a_shell_would() -> None:
    """
    A command written as one text is split into words; quotes hold words together.
    """
    assert list(app(("command", "run 'a b' c")).command) == ["run", "a b", "c"]


def test_deleted_app_needs_nothing_else() -> None:
    """
    To remove an app its name and its state are enough.
    """
    assert deployment((("apps", "db"), {"state": "deleted"})).apps[ContainerName("db")].deleted


def test_volume_of_a_deleted_app_is_free() -> None:
    """
    Another app may mount the volume of an app that is deleted.
    """
    found = deployment((("apps", "db", "state"), "deleted"), (("apps", "web", "mounts"), [{"volume": "pg"}]))

    assert found.volumes["pg"].primary == "n2"


def test_defaults_fill_what_is_left_out() -> None:
    """
    Defaults hold for every volume and app that doesn't say otherwise.
    """
    found = deployment(
        (
            ("defaults",),
            {
                "size": "1G",
                "restart": "always",
                "max_downtime": "1s",
                "on_overrun": "cut-over",
                "on_start_failure": "stay",
                "on_partition": "fence",
                "stop_grace": "5s",
            },
        )
    )
    db, pg, spare = found.apps[ContainerName("db")], found.volumes["pg"], found.volumes["spare"]

    assert (
        db.restart.name,
        db.stop_grace_seconds,
        pg.maximum_size_bytes,
        spare.maximum_size_bytes,
        spare.max_downtime_seconds,
        spare.on_overrun,
        spare.on_start_failure,
        spare.on_partition,
    ) == (
        RestartName.ALWAYS,
        5.0,
        20 * GIB,
        GIB,
        1.0,
        OverrunPolicy.CUT_OVER,
        StartFailurePolicy.STAY,
        PartitionPolicy.FENCE,
    )


def test_app_becomes_a_container() -> None:
    """
    With node and datasets known, an app is a container.
    """
    node_id, dataset_id = NodeId(UUID(N1)), DatasetId(UUID(DATASET))

    assert container(app(), node_id, {"pg": dataset_id}) == Container(
        name=ContainerName("db"),
        node_id=node_id,
        image="postgres:16",
        mounts=(Mount(dataset_id=dataset_id, path="/data"),),  # type: ignore[arg-type]
        ports=(Port(internal=5432, external=15432),),  # type: ignore[arg-type]
    )


def test_ipv6_control_host() -> None:
    """
    The control service may be given by an IPv6 address.
    """
    control = deployment((("cluster", "control", "host"), "2001:DB8::1")).control

    assert control is not None
    assert control.host == "2001:db8::1"


# -- what is wrong -----------------------------------------------------------------------------------------------------

DB: Pointer = ("apps", "db")
PG: Pointer = ("volumes", "pg")
NAME_RULE = "1 to 63 letters, digits, '_', '.' or '-', beginning with a letter or digit"

WRONG: list[tuple[Pointer, object, Pointer, str]] = [
    # place changed, new value, place of the complaint, its text
    (("version",), 1, ("version",), "version 1 is Flocker's pair of files, application.yml and deployment.yml; this is version 2"),
    (("version",), 3, ("version",), "must be 2, not 3"),
    (("version",), "2", ("version",), "must be 2, not '2'"),
    (("version",), True, ("version",), "must be 2, not true"),
    (("version",), _ABSENT, (), "a deployment needs version"),
    (("cluster",), _ABSENT, (), "a deployment needs cluster"),
    (("cluster",), None, ("cluster",), "cluster must be a mapping, not nothing"),
    (("cluster", "name"), _ABSENT, ("cluster",), "cluster needs name"),
    (("cluster", "name"), "a b", ("cluster", "name"), f"must be {NAME_RULE}, not 'a b'"),
    (("cluster", "control", "host"), _ABSENT, ("cluster", "control"), "control needs host"),
    (("cluster", "control", "host"), "a_b", ("cluster", "control", "host"), "must be a host's name or IP address, not 'a_b'"),
    (("cluster", "control", "host"), 7, ("cluster", "control", "host"), "must be a text, not 7: write \"7\" in quotes"),
    (("cluster", "control", "api_port"), 0, ("cluster", "control", "api_port"), "must be an integer from 1 to 65535, not 0"),
    (("cluster", "users"), [], ("cluster", "users"), "users is not implemented: leave it out"),
    (("volume",), {}, ("volume",), "a deployment has no field 'volume'; did you mean volumes?"),
    (("xyzzy",), {}, ("xyzzy",), "a deployment has no field 'xyzzy'"),
    (("nodes",), ["n1"], ("nodes",), "nodes must be a mapping from names, not a list"),
    (("nodes", "n1", "pool"), "tank", ("nodes", "n1", "pool"), "pool is not implemented: leave it out"),
    (("nodes", "n1", "uuid"), "n1", ("nodes", "n1", "uuid"), "must be a UUID, not 'n1'"),
    (("nodes", "n1", "address"), "host1", ("nodes", "n1", "address"), "must be an IPv4 or IPv6 address, not 'host1'"),
    (("nodes", "n1", "address"), 7, ("nodes", "n1", "address"), "must be an IPv4 or IPv6 address, not 7"),
    (("nodes", "n2", "uuid"), N1.upper(), ("nodes", "n2", "uuid"), "node n1 has this UUID already"),
    (("nodes", "n2", "address"), "192.0.2.1", ("nodes", "n2", "address"), "node n1 has this address already"),
    (("nodes", "n 3"), {}, ("nodes", "n 3"), f"the name 'n 3' must be {NAME_RULE}"),
    (("nodes", DATASET), {}, ("nodes", DATASET), f"'{DATASET}' could be mistaken for an id: choose another name"),
    (("apps", DATASET), {}, ("apps", DATASET), f"'{DATASET}' could be mistaken for the id of a volume: choose another name"),
    ((*PG, "size"), "20Q", (*PG, "size"), "'20Q' is not a size. A size is a number of bytes, or a number with K, M, G, T, P or E: 20G, 512MiB, 1.5T. These are powers of 1024."),
    ((*PG, "size"), "1M", (*PG, "size"), "1048576 bytes is less than the smallest size, 64 MiB"),
    ((*PG, "size"), 67108865, (*PG, "size"), "67108865 bytes is not a multiple of 1024"),
    ((*PG, "replicas"), 2, (*PG, "replicas"), "replicas is not implemented: leave it out"),
    ((*PG, "retain"), {}, (*PG, "retain"), "retain is not implemented: leave it out"),
    ((*PG, "id"), "pg", (*PG, "id"), "must be a UUID, not 'pg'"),
    ((*PG, "sizes"), "1G", (*PG, "sizes"), "a volume has no field 'sizes'; did you mean size?"),
    ((*PG, "primary"), "n2", (*PG, "primary"), "the primary is n2, but app db, which mounts this volume, runs on n1: change one of them, or leave primary out and the volume follows its app"),
    ((*PG, "primary"), "n7", (*PG, "primary"), "there is no node 'n7' in nodes"),
    ((*PG, "max_downtime"), "0s", (*PG, "max_downtime"), "must be more than 0 s and at most 1 d"),
    ((*PG, "max_downtime"), "soon", (*PG, "max_downtime"), "'soon' is not a duration. A duration is a number of seconds, or numbers with ms, s, m, h or d: 500ms, 2s, 1h30m."),
    ((*PG, "on_overrun"), "panic", (*PG, "on_overrun"), "must be give-up or cut-over, not 'panic'"),
    ((*PG, "on_start_failure"), "panic", (*PG, "on_start_failure"), "must be go-back or stay, not 'panic'"),
    ((*PG, "on_partition"), "panic", (*PG, "on_partition"), "must be keep or fence, not 'panic'"),
    ((*PG, "state"), "archived", (*PG, "state"), "archived is not implemented: use present or deleted"),
    ((*PG, "state"), "deleted", (*DB, "mounts", 0, "volume"), "volume pg is to be deleted, and app db still mounts it"),
    ((*PG, "labels"), {"a": 1}, (*PG, "labels", "a"), "must be a text, not 1: write \"1\" in quotes"),
    ((*PG, "labels"), {"a": "b" * 257}, (*PG, "labels", "a"), "must have at most 256 characters"),
    ((*PG, "labels"), {"": "b"}, (*PG, "labels", ""), "the label '' must have 1 to 256 characters that can be passed on to programs"),
    ((*PG, "labels"), {f"l{i}": "" for i in range(17)}, (*PG, "labels"), "there are 17 labels, and at most 16 are kept"),
    ((*PG, "renamed_from"), "spare", (*PG, "renamed_from"), "volume spare is still in volumes: a name can't be both old and new"),
    (PG, 7, PG, "a volume must be a mapping, not 7"),
    (("volumes", "gone"), _ABSENT, (), ""),
    ((*DB, "node"), _ABSENT, DB, "an app needs node"),
    ((*DB, "node"), "n3", (*DB, "node"), "there is no node 'n3' in nodes"),
    ((*DB, "image"), _ABSENT, DB, "an app needs image or command, or both"),
    ((*DB, "image"), "", (*DB, "image"), "must not be empty"),
    ((*DB, "image"), "a\0", (*DB, "image"), "has a character that can't be passed on to programs"),
    ((*DB, "image"), True, (*DB, "image"), "must be a text, not true"),
    ((*DB, "command"), "run 'a", (*DB, "command"), "can't be split into words: No closing quotation"),
    ((*DB, "command"), "", (*DB, "command"), "must not be empty"),
    ((*DB, "command"), "  ", (*DB, "command"), "must begin with a program"),
    ((*DB, "command"), [], (*DB, "command"), "must begin with a program"),
    ((*DB, "command"), ["", "a"], (*DB, "command"), "must begin with a program"),
    ((*DB, "command"), ["a", 7], (*DB, "command", 1), "must be a text, not 7: write \"7\" in quotes"),
    ((*DB, "command"), {}, (*DB, "command"), "must be a list of texts, not a mapping"),
    ((*DB, "command"), ["a"] * 4097, (*DB, "command"), "has more than 4096 words, or one of more than 4096 characters"),
    ((*DB, "env"), {"A=B": ""}, (*DB, "env", "A=B"), "a variable can't be called 'A=B'"),
    ((*DB, "env"), {7: ""}, (*DB, "env", "7"), "7 is not a text: put it in quotes"),
    ((*DB, "env"), ["A=B"], (*DB, "env"), "env must be a mapping from names, not a list"),
    ((*DB, "mounts"), ["pg"], (*DB, "mounts", 0), "must be 'volume:/path', 'volume:/path:ro', or a mapping, not 'pg'"),
    ((*DB, "mounts"), "pg", (*DB, "mounts"), "must be a list of mounts, not 'pg'"),
    ((*DB, "mounts"), [{"volume": "gp"}], (*DB, "mounts", 0, "volume"), "there is no volume 'gp' in volumes"),
    ((*DB, "mounts"), [{"volume": "pg"}, {"volume": "pg"}], (*DB, "mounts", 1, "volume"), "mount 1 of this app is this volume already"),
    ((*DB, "mounts"), [{"volume": "pg", "path": "data"}], (*DB, "mounts", 0, "path"), "must be an absolute path without '..', not 'data'"),
    ((*DB, "mounts"), [{"volume": "pg", "path": "/a/../b"}], (*DB, "mounts", 0, "path"), "must be an absolute path without '..', not '/a/../b'"),
    (("apps", "web", "mounts"), [{"volume": "pg"}], ("apps", "web", "mounts", 0, "volume"), "app db mounts volume pg already, and a volume has one writer"),
    ((*DB, "ports", 0), "5432", (*DB, "ports", 0), "must be 'external:internal' or 'external:internal/udp', perhaps behind an address, not '5432'"),
    ((*DB, "ports", 0), 5432, (*DB, "ports", 0), "must be 'external:internal' in quotes, or a mapping, not 5432"),
    ((*DB, "ports", 0), "::1:80:80", (*DB, "ports", 0), "an IPv6 address stands in brackets"),
    ((*DB, "ports", 0), "300.0.0.1:80:80", (*DB, "ports", 0), "'300.0.0.1' is not an IP address"),
    ((*DB, "ports", 0), "localhost:80:80", (*DB, "ports", 0), "'localhost' is not an IP address"),
    ((*DB, "ports", 0), "80-81:80", (*DB, "ports", 0), "there are 2 external ports for 1 internal ones"),
    ((*DB, "ports"), ["1-1000:1-1000", "2000-2100:2000-2100"], (*DB, "ports"), "there are 1101 ports, and a container has at most 1024"),
    ((*DB, "ports", 0), "0:80", (*DB, "ports", 0), "0 is not a port: ports are 1 to 65535"),
    ((*DB, "ports", 0), {"internal": 80}, (*DB, "ports", 0), "a port needs external"),
    ((*DB, "ports", 0), {"internal": 80, "external": 81, "host_ip": "ff02::1"}, (*DB, "ports", 0, "host_ip"), "'ff02::1' is the address of a group, and no host's"),
    ((*DB, "ports", 0), {"internal": 80, "external": 81, "host_ip": 1}, (*DB, "ports", 0, "host_ip"), 'must be a text, not 1: write "1" in quotes'),
    ((*DB, "ports", 0), {"internal": 80, "external": 81, "mode": "host"}, (*DB, "ports", 0, "mode"), "mode is not implemented: leave it out"),
    ((*DB, "ports", 0), {"internal": 80, "external": 81, "protocol": "sctp"}, (*DB, "ports", 0, "protocol"), "must be tcp or udp, not 'sctp'"),
    ((*DB, "ports", 1), "15433:5432", (*DB, "ports", 1), "port 1 of this app has this internal port already"),
    ((*DB, "ports", 1), "15432:5433", (*DB, "ports", 1), "app db has this external port of the node already: 15432/tcp"),
    ((*DB, "links"), [{"alias": "a-b", "local_port": 1, "remote_port": 2}], (*DB, "links", 0, "alias"), "must be 1 to 64 letters and digits, not 'a-b'"),
    ((*DB, "restart"), "sometimes", (*DB, "restart"), "must be never or always or on-failure, not 'sometimes'"),
    ((*DB, "restart"), "unless-stopped", (*DB, "restart"), "unless-stopped is not implemented: use never or always or on-failure"),
    ((*DB, "restart"), {"name": "always", "maximum_retry_count": 1}, (*DB, "restart"), "maximum_retry_count belongs to on-failure only"),
    ((*DB, "restart"), {"maximum_retry_count": 1}, (*DB, "restart"), "restart needs name"),
    ((*DB, "memory"), "1K", (*DB, "memory"), "must be at least 1 MiB, not 1024 bytes"),
    ((*DB, "cpu_shares"), 1025, (*DB, "cpu_shares"), "must be an integer from 1 to 1024, not 1025"),
    ((*DB, "swappiness"), 101, (*DB, "swappiness"), "must be an integer from 0 to 100, not 101"),
    ((*DB, "privileged"), True, (*DB, "privileged"), "privileged is not implemented: leave it out"),
    ((*DB, "image"), "Postgres:16", (*DB, "image"), "'Postgres:16' is not the name of an image: 'Postgres' has a capital letter, and names of repositories have none"),
    ((*DB, "pull_policy"), "sometimes", (*DB, "pull_policy"), "must be missing or always or never, not 'sometimes'"),
    ((*DB, "pull_policy"), "build", (*DB, "pull_policy"), "build is not implemented: use missing or always or never"),
    ((*DB, "entrypoint"), [], (*DB, "entrypoint"), "must begin with a program"),
    ((*DB, "env_file"), ["/a"], (*DB, "env_file"), "must be one file, not a list"),
    ((*DB, "env_file"), "a.env", (*DB, "env_file"), "must be the absolute path of a file on its node, without '..', not 'a.env'"),
    ((*DB, "env_file"), 3, (*DB, "env_file"), 'must be a text, not 3: write "3" in quotes'),
    ((*DB, "cpus"), "0.5", (*DB, "cpus"), "must be a number of processors such as 0.5, not '0.5'"),
    ((*DB, "cpus"), 0, (*DB, "cpus"), "must be a number of processors from 0.01 to 4096, not 0"),
    ((*DB, "pids_limit"), -1, (*DB, "pids_limit"), "must be an integer from 1 to 4194304, not -1"),
    ((*DB, "stop_signal"), "SIGNAL", (*DB, "stop_signal"), "must be a signal such as SIGINT, or its number up to 64, not 'SIGNAL'. A field of a container can't have this value. The text says which ones it can have."),
    ((*DB, "healthcheck"), {"test": "true", "disable": True}, (*DB, "healthcheck", "disable"), "disable is not implemented: leave it out"),
    ((*DB, "healthcheck"), {"interval": "5s"}, (*DB, "healthcheck"), "healthcheck needs test"),
    ((*DB, "healthcheck"), {"test": ["NONE"]}, (*DB, "healthcheck", "test"), "NONE is not implemented: leave healthcheck out, and the image's own check stays"),
    ((*DB, "healthcheck"), {"test": []}, (*DB, "healthcheck", "test"), "must begin with CMD or CMD-SHELL, and is empty"),
    ((*DB, "healthcheck"), {"test": ["true"]}, (*DB, "healthcheck", "test"), "must be [CMD, program, argument...] or [CMD-SHELL, text]"),
    ((*DB, "healthcheck"), {"test": ["CMD", 3]}, (*DB, "healthcheck", "test", 1), 'must be a text, not 3: write "3" in quotes'),
    ((*DB, "healthcheck"), {"test": ""}, (*DB, "healthcheck", "test"), "must not be empty"),
    ((*DB, "healthcheck"), {"test": 3}, (*DB, "healthcheck", "test"), "must be a text for a shell, or a list that begins with CMD, not 3"),
    ((*DB, "healthcheck"), {"test": "a" * 4097}, (*DB, "healthcheck", "test"), "has more than 4096 words, or one of more than 4096 characters"),
    ((*DB, "healthcheck"), {"test": "true", "start_period": "2d"}, (*DB, "healthcheck", "start_period"), "must be at least 0 s and at most 1 d"),
    ((*DB, "healthcheck"), {"test": "true", "retries": 0}, (*DB, "healthcheck", "retries"), "must be an integer from 1 to 1000, not 0"),
    ((*DB, "logging"), {"options": {}}, (*DB, "logging"), "logging needs driver"),
    ((*DB, "logging"), {"driver": "a b"}, (*DB, "logging", "driver"), "must be the name of a log driver: letters, digits, '_', '.', '/', ':' or '-', not 'a b'"),
    ((*DB, "logging"), {"driver": "syslog", "options": {"a b": "c"}}, (*DB, "logging", "options", "a b"), "'a b' is not the name of an option: letters, digits and signs, without spaces"),
    ((*DB, "logging"), {"driver": "syslog", "options": {str(n): "" for n in range(65)}}, (*DB, "logging", "options"), "there are 65 options, and a log driver gets at most 64"),
    ((*DB, "read_only"), "yes", (*DB, "read_only"), "must be true or false, not 'yes'"),
    ((*DB, "user"), 1000, (*DB, "user"), 'must be a text, not 1000: write "1000" in quotes'),
    ((*DB, "user"), "a b", (*DB, "user"), "must be a name or number of a user, and perhaps a group after a colon, not 'a b'"),
    ((*DB, "cap_add"), ["NET_ADMN"], (*DB, "cap_add", 0), "must be a capability of Linux such as NET_ADMIN, or ALL, not 'NET_ADMN'; did you mean NET_ADMIN?"),
    ((*DB, "cap_add"), [3], (*DB, "cap_add", 0), 'must be a text, not 3: write "3" in quotes'),
    ((*DB, "cap_drop"), ["CHOWN", "cap_chown"], (*DB, "cap_drop", 1), "CHOWN is there already"),
    ((*DB, "security_opt"), ["seccomp=/profile.json"], (*DB, "security_opt", 0), "seccomp is unconfined or builtin, and no file: not '/profile.json'"),
    ((*DB, "mounts"), ["pg:data"], (*DB, "mounts", 0), "must be an absolute path without '..', not 'data'"),
    ((*DB, "mounts"), ["pg:/data:rx"], (*DB, "mounts", 0), "must be 'volume:/path', 'volume:/path:ro', or a mapping, not 'pg:/data:rx'"),
    ((*DB, "state"), "stopped", (*DB, "state"), "stopped is not implemented: use running or deleted"),
    (("apps", "d b"), {}, ("apps", "d b"), "the name 'd b' must be 1 to 128 letters, digits, '_', '.' or '-', beginning with a letter or digit"),
    (("defaults",), {"transfer": {}}, ("defaults", "transfer"), "transfer is not implemented: leave it out"),
]  # fmt: skip
WRONG = [case for case in WRONG if case[3]]


@pytest.mark.parametrize(("pointer", "found", "at", "text"), WRONG)
def test_mistake_is_named(pointer: Pointer, found: object, at: Pointer, text: str) -> None:
    """
    One mistake is one complaint, at its place, that says what to write instead.
    """
    assert complaints((pointer, found)) == [(at, text)]


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (None, "a deployment must be a mapping, not nothing"),
        ([], "a deployment must be a mapping, not a list"),
        ("x" * 80, f"a deployment must be a mapping, not '{'x' * 59}..."),
        (10**30, "a deployment must be a mapping, not a huge number"),
        ("\ud800", "a deployment must be a mapping, not '\\ud800'"),
    ],
)
def test_what_is_no_document_is_said(document: object, text: str) -> None:
    """
    Something else than a mapping is one complaint about the whole.
    """
    found = parse(document)

    assert isinstance(found, list)
    assert (found[0].pointer, found[0].text) == ((), text)


def test_all_mistakes_are_told_at_once() -> None:
    """
    No mistake hides another.
    """
    found = complaints(
        (("cluster", "name"), ""),
        (("nodes", "n1", "pool"), "tank"),
        ((*PG, "size"), "big"),
        ((*DB, "restart"), "no"),
        (("apps", "web", "node"), "n9"),
    )

    assert [pointer for pointer, _ in found] == [
        ("cluster", "name"),
        ("nodes", "n1", "pool"),
        (*PG, "size"),
        (*DB, "restart"),
        ("apps", "web", "node"),
    ]


def test_wrong_node_is_compared_with_those_that_are_listed() -> None:
    """
    A name that is close to a listed one is answered with that one.
    """
    found = complaints((("nodes", "node-one"), {}), ((*DB, "node"), "node-on"))

    assert found == [((*DB, "node"), "there is no node 'node-on' in nodes; did you mean node-one?")]


def test_section_that_cannot_be_read_is_told_once() -> None:
    """
    What refers into a section that is no section is not complained about, too.
    """
    found = complaints((("volumes",), ["pg"]))

    assert found == [(("volumes",), "volumes must be a mapping from names, not a list")]


def test_mistake_is_told_once() -> None:
    """
    What refers to a node or volume whose own entry is wrong is not complained about, too.
    """
    found = complaints(
        (("nodes", "n!1"), {}), ((*DB, "node"), "n!1"), (("volumes", "p g"), {}), ((*DB, "mounts"), [{"volume": "p g"}])
    )

    assert [pointer for pointer, _ in found] == [("nodes", "n!1"), ("volumes", "p g")]


def test_same_external_port_of_two_apps_on_a_node() -> None:
    """
    Two apps of one node can't have the same external port, however the node is called.
    """
    found = complaints((("apps", "web", "node"), "192.0.2.1"), (("apps", "web", "ports"), ["15432:80"]))

    assert found == [(("apps", "web", "ports", 0), "app db has this external port of the node already: 15432/tcp")]


def test_same_external_port_on_two_nodes() -> None:
    """
    On two nodes the same external port is no conflict.
    """
    assert deployment((("apps", "web", "ports"), ["15432:80"])).apps[ContainerName("web")].ports[0].external == 15432


def test_two_volumes_with_one_id() -> None:
    """
    Two volumes can't be the same dataset.
    """
    found = complaints(((*PG, "id"), DATASET), (("volumes", "spare", "id"), DATASET.upper()))

    assert found == [(("volumes", "spare", "id"), "volume pg has this id already")]


def test_two_volumes_renamed_from_one() -> None:
    """
    One old name can't become two.
    """
    found = complaints(((*PG, "renamed_from"), "old"), (("volumes", "spare", "renamed_from"), "old"))

    assert found == [(("volumes", "spare", "renamed_from"), "volume pg had this name already")]


def test_links_of_an_app_differ() -> None:
    """
    Two links of an app differ in alias, letters' case aside, or in local port: each makes variables of its own.
    """
    links = [
        {"alias": "a", "local_port": 1, "remote_port": 2},
        {"alias": "A", "local_port": 1, "remote_port": 3},
        {"alias": "a", "local_port": 2, "remote_port": 2},
        {"alias": "b", "local_port": 1, "remote_port": 2},
    ]

    assert complaints(((*DB, "links"), links)) == [
        ((*DB, "links", 1), "link 1 of this app has this alias and local port already")
    ]


def test_paths_of_mounts_are_unique() -> None:
    """
    Two volumes can't be at the same path of an app.
    """
    mounts = [{"volume": "pg", "path": "/a"}, {"volume": "spare", "path": "/a"}]

    assert complaints(((*DB, "mounts"), mounts), (("volumes", "spare", "primary"), _ABSENT)) == [
        ((*DB, "mounts", 1, "path"), "mount 1 of this app has this path already")
    ]


def test_link_needs_all_its_fields() -> None:
    """
    A link says alias, local and remote port.
    """
    assert complaints(((*DB, "links"), [{}])) == [
        ((*DB, "links", 0), "a link needs alias"),
        ((*DB, "links", 0), "a link needs local_port"),
        ((*DB, "links", 0), "a link needs remote_port"),
    ]


def test_link_that_is_no_mapping() -> None:
    """
    A link in the form of Compose is one complaint.
    """
    assert complaints(((*DB, "links"), ["db:db"])) == [((*DB, "links", 0), "a link must be a mapping, not 'db:db'")]


@pytest.mark.parametrize("document", [DOCUMENT, changed(((*DB, "state"), "deleted"), (("volumes", "spare"), None))])
def test_schema_describes_good_documents(document: object) -> None:
    """
    A good document has the form that the schema describes.
    """
    assert list(Draft202012Validator(DEPLOYMENT_SCHEMA).iter_errors(document)) == []


def test_schema_is_one() -> None:
    """
    The schema itself is a JSON Schema.
    """
    assert Draft202012Validator.check_schema(DEPLOYMENT_SCHEMA) is None  # type: ignore[func-returns-value]


def test_complaint_is_compared_by_value() -> None:
    """
    Two complaints about one place with one text are equal.
    """
    assert Complaint(pointer=("a", 0), text="x") == Complaint(pointer=("a", 0), text="x")
