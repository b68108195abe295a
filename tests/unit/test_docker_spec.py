"""
What Docker is asked for a container, and what its answers mean.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from pyrsistent import pmap, pvector

from flocker_agent.runtime import docker_spec as spec
from flocker_py.model import (
    Container,
    ContainerName,
    DatasetId,
    HealthCheck,
    Link,
    Mount,
    NodeId,
    Port,
    RestartName,
    RestartPolicy,
)
from flocker_py.observed import ContainerPhase, Health
from flocker_py.runtime import ContainerRefused

NODE = NodeId(UUID(int=1))
DATASET = DatasetId(UUID(int=2))
PLAIN = Container(name=ContainerName("db"), node_id=NODE, image="postgres:16")
SURROUNDINGS = spec.Surroundings(
    identity="0123abcd", network="flocker", gateway="172.18.0.1", grant_path="/run/flocker/docker/x"
)
_PORT = Port(internal=80, external=8080)
GRANT = {
    "Type": "bind",
    "Source": "/run/flocker/docker/x",
    "Target": "/.flocker-granted",
    "ReadOnly": True,
    "BindOptions": {"Propagation": "rprivate"},
}


def created(container: Container, *sources: str, **more: Any) -> dict[str, Any]:
    return spec.creation(container, sources, SURROUNDINGS.set(**more))


def test_plain_container_asks_for_no_more_than_it_must() -> None:
    """
    What is not asked for is left to the image and to the engine.
    """
    body = created(PLAIN)
    labels = body.pop("Labels")

    assert body == {
        "Image": "postgres:16",
        "Env": [],
        "ExposedPorts": {},
        "HostConfig": {
            "Mounts": [GRANT],
            "PortBindings": {},
            "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
            "NetworkMode": "flocker",
            "ExtraHosts": [],
            "ReadonlyRootfs": False,
            "CapAdd": [],
            "CapDrop": [],
            "SecurityOpt": [],
        },
        "NetworkingConfig": {"EndpointsConfig": {"flocker": {"Aliases": ["db"]}}},
    }
    assert (spec.name_of(labels), spec.definition_of(labels), spec.sources_of(labels)) == ("db", PLAIN, [])


def test_everything_is_asked_for() -> None:
    """
    Each field becomes what Docker calls it.
    """
    body = created(
        PLAIN.set(
            command=pvector(["-c", "fsync=on"]),
            entrypoint=pvector(["postgres"]),
            mounts=pvector([Mount(dataset_id=DATASET, path="/data", read_only=True)]),
            ports=pvector(
                [
                    Port(internal=5432, external=15432),
                    Port(internal=5432, external=25432, host_address="127.0.0.1"),
                    Port(internal=53, external=53, protocol="udp"),
                ]
            ),
            restart=RestartPolicy(name=RestartName.ON_FAILURE, maximum_retry_count=3),
            memory_bytes=2**30,
            cpu_shares=512,
            cpus=0.5,
            swappiness=10,
            pids_limit=50,
            labels=pmap({"team": "one"}),
            stop_signal="SIGINT",
            user="999:999",
            health=HealthCheck(command=pvector(["pg_isready"]), interval_seconds=1.5),
            log_options=pmap({"max-size": "1m"}),
            read_only=True,
            capabilities_add=pvector(["NET_ADMIN"]),
            capabilities_drop=pvector(["ALL"]),
            security_options=pvector(["no-new-privileges"]),
        ),
        "/flocker/two",
    )
    host = body["HostConfig"]

    assert (body["Cmd"], body["Entrypoint"]) == (["-c", "fsync=on"], ["postgres"])
    assert host["Mounts"] == [{**GRANT, "Source": "/flocker/two", "Target": "/data"}, GRANT]
    assert host["PortBindings"] == {
        "5432/tcp": [{"HostIp": "", "HostPort": "15432"}, {"HostIp": "127.0.0.1", "HostPort": "25432"}],
        "53/udp": [{"HostIp": "", "HostPort": "53"}],
    }
    assert body["ExposedPorts"] == {"5432/tcp": {}, "53/udp": {}}
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert [host[name] for name in ("Memory", "CpuShares", "NanoCpus", "MemorySwappiness", "PidsLimit")] == [
        2**30, 512, 500_000_000, 10, 50,
    ]  # fmt: skip
    assert (body["Labels"]["team"], body["StopSignal"], body["User"]) == ("one", "SIGINT", "999:999")
    assert body["Healthcheck"] == {
        "Test": ["CMD", "pg_isready"],
        "Interval": 1_500_000_000,
        "Timeout": 30_000_000_000,
        "StartPeriod": 0,
        "Retries": 3,
    }
    assert host["LogConfig"] == {"Type": "", "Config": {"max-size": "1m"}}
    assert (host["ReadonlyRootfs"], host["CapAdd"], host["CapDrop"]) == (True, ["NET_ADMIN"], ["ALL"])
    assert host["SecurityOpt"] == ["no-new-privileges"]


def test_log_driver() -> None:
    """
    A driver can be chosen without options.
    """
    assert created(PLAIN.set(log_driver="none"))["HostConfig"]["LogConfig"] == {"Type": "none", "Config": {}}


def test_always_is_started_by_docker_unless_it_was_stopped() -> None:
    """
    What was stopped stays so, also when the engine begins again.
    """
    always = PLAIN.set(restart=RestartPolicy(name=RestartName.ALWAYS))

    assert created(always)["HostConfig"]["RestartPolicy"] == {"Name": "unless-stopped", "MaximumRetryCount": 0}


def test_links() -> None:
    """
    The other end of a link is found by variables, as Flocker's were named, which hold an address, and by its alias.
    """
    linked = PLAIN.set(links=pvector([Link(alias="Cache", local_port=6379, remote_port=16379)]))
    body = created(linked)

    assert body["HostConfig"]["ExtraHosts"] == ["cache:172.18.0.1"]
    assert body["Env"] == [
        "CACHE_PORT_6379_TCP=tcp://172.18.0.1:16379",
        "CACHE_PORT_6379_TCP_ADDR=172.18.0.1",
        "CACHE_PORT_6379_TCP_PORT=16379",
        "CACHE_PORT_6379_TCP_PROTO=tcp",
    ]


def test_environment_of_the_definition_wins() -> None:
    """
    What the definition says stands before what the file says, and each name is there once.
    """
    asked = PLAIN.set(environment=pmap({"COLOUR": "blue"}))

    assert created(asked, file_environment=["COLOUR=red", "SECRET=a=b"])["Env"] == ["COLOUR=blue", "SECRET=a=b"]


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("", []),
        ("# a comment\n\n  # another\nA=1\nB= two words \nC=\n", ["A=1", "B= two words ", "C="]),
        ("A=1\nB\n", 2),
        ("=1\n", 1),
        (" A=1\n", 1),
        ("A=\0\n", 1),
    ],
)
def test_file_with_environment(text: str, meaning: list[str] | int) -> None:
    """
    One NAME=VALUE in a line, taken as it stands; the first line that is none is named.
    """
    assert spec.parsed_environment(text) == meaning


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("db", "flocker-0123abcd-db"),
        ("a/b", "flocker-0123abcd-a_b-c14cddc033f6"),
        ("Ω", "flocker-0123abcd-_-"),
        ("x" * 101, f"flocker-0123abcd-{'x' * 100}-"),
    ],
)
def test_docker_name(name: str, expected: str) -> None:
    """
    Names that Docker can't have become others, and different ones.
    """
    assert spec.docker_name("0123abcd", ContainerName(name)).startswith(expected)


def test_no_alias_for_a_name_that_is_no_host() -> None:
    """
    A name that can't be one of a host is not put into the network.
    """
    body = created(PLAIN.set(name=ContainerName("two words")))

    assert body["NetworkingConfig"] == {"EndpointsConfig": {"flocker": {"Aliases": []}}}


NO_SWAPPINESS = (
    "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted."
    " Memory swappiness discarded."
)
NO_SHARES = "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded."
NO_SWAP_LIMIT = (
    "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap."
)
NO_OOM_KILL_DISABLE = "Your kernel does not support OomKillDisable. OomKillDisable discarded."


@pytest.mark.parametrize(
    ("fields", "warnings", "told"),
    [
        ({}, [], None),
        ({"swappiness": 10}, [NO_SWAPPINESS], f"swappiness: {NO_SWAPPINESS}"),
        ({"memory_bytes": 1}, [NO_SWAPPINESS], NO_SWAPPINESS),
        (
            {"swappiness": 10, "cpu_shares": 5},
            [NO_SHARES, NO_SWAPPINESS],
            f"cpu_shares: {NO_SHARES}; swappiness: {NO_SWAPPINESS}",
        ),
        ({}, [NO_OOM_KILL_DISABLE], NO_OOM_KILL_DISABLE),
        (
            {"memory_bytes": 1},
            [NO_SWAP_LIMIT, "IPv4 forwarding is disabled. Networking will not work."],
            None,
        ),
    ],
)
def test_not_done(fields: dict[str, Any], warnings: list[str], told: str | None) -> None:
    """
    A warning that something is discarded counts, with the field if it was asked for; others don't.
    """
    assert spec.not_done(PLAIN.set(**fields), warnings) == told


def inspected(status: str, **state: Any) -> dict[str, Any]:
    return {
        "Config": {"Labels": spec.labels(PLAIN, [], "0123abcd")},
        "State": {"Status": status, "ExitCode": 0, "StartedAt": "2026-11-26T23:00:00.123456789Z", **state},
        "RestartCount": 2,
    }


def observed(
    status: str,
    *,
    stopped: bool = False,
    granted: bool = True,
    restart: RestartPolicy = RestartPolicy(),  # noqa: B008  # immutable
    **state: Any,
) -> Any:
    asked = PLAIN.set(restart=restart, mounts=pvector([Mount(dataset_id=DATASET, path="/data")]))
    return spec.observation(inspected(status, **state), asked, stopped=stopped, granted=granted, digest="d")


def test_running() -> None:
    """
    What runs has no exit status, and tells since when.
    """
    seen = observed("running")

    assert (seen.phase, seen.exit_status, seen.restarts, list(seen.mounts), seen.image_digest) == (
        ContainerPhase.RUNNING, None, 2, [DATASET], "d",
    )  # fmt: skip
    assert seen.started_at_seconds == pytest.approx(1795734000.123456)


def test_never_started() -> None:
    """
    Docker's year 1 is no time.
    """
    assert observed("created", StartedAt="0001-01-01T00:00:00Z").started_at_seconds is None


@pytest.mark.parametrize(
    ("code", "granted", "stopped", "status"),
    [
        (3, True, False, 3),
        (137, True, True, -9),
        (143, True, False, -15),
        (200, True, False, 200),
        (255, True, False, 255),
        (255, False, True, 255),
        (255, False, False, None),
    ],
)
def test_exit_status(code: int, granted: bool, stopped: bool, status: int | None) -> None:
    """
    Signals are negative; where the host went down, nobody knows.
    """
    seen = observed("exited", ExitCode=code, granted=granted, stopped=stopped)

    assert (seen.phase, seen.exit_status, seen.stopped) == (ContainerPhase.EXITED, status, stopped)


_ON_FAILURE = RestartPolicy(name=RestartName.ON_FAILURE)
_THRICE = RestartPolicy(name=RestartName.ON_FAILURE, maximum_retry_count=3)
_TWICE = RestartPolicy(name=RestartName.ON_FAILURE, maximum_retry_count=2)
_ALWAYS = RestartPolicy(name=RestartName.ALWAYS)


@pytest.mark.parametrize(
    ("policy", "code", "stopped", "status"),
    [
        (_ON_FAILURE, 0, False, 0),
        (_ON_FAILURE, 3, False, None),
        (_ON_FAILURE, 3, True, 3),
        (_THRICE, 3, False, None),
        (_TWICE, 3, False, 3),
        (_ALWAYS, 0, False, None),
        (_ALWAYS, 0, True, 0),
    ],
)
def test_cut_short(policy: RestartPolicy, code: int, stopped: bool, status: int | None) -> None:
    """
    What was to be started again, but wasn't, was kept from it: how it ended says nothing.
    """
    assert observed("exited", ExitCode=code, stopped=stopped, restart=policy).exit_status == status


def test_paused() -> None:
    """
    What somebody has paused doesn't run, and has not ended.
    """
    assert observed("paused").phase is ContainerPhase.STARTING


def test_swappiness() -> None:
    """
    It is asked for at the creation; later Docker can't change it.
    """
    asked = PLAIN.set(swappiness=10)

    assert (created(asked)["HostConfig"]["MemorySwappiness"], spec.limits(asked)) == (10, {})


@pytest.mark.parametrize(
    ("status", "told", "health"),
    [
        ("running", {"Status": "starting"}, Health.STARTING),
        ("running", {"Status": "healthy"}, Health.HEALTHY),
        ("running", {"Status": "unhealthy"}, Health.UNHEALTHY),
        ("running", {"Status": "none"}, Health.NONE),
        ("running", None, Health.NONE),
        ("exited", {"Status": "unhealthy"}, Health.NONE),
    ],
)
def test_health(status: str, told: Any, health: Health) -> None:
    """
    Only what runs has a health.
    """
    assert observed(status, Health=told).health is health


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": ContainerName("")}, "name: is empty"),
        ({"image": None}, "image: there is none"),
        (
            {"restart": RestartPolicy(name=RestartName.ALWAYS, maximum_retry_count=3)},
            "restart.maximum_retry_count: only the policy on-failure has one",
        ),
        ({"mounts": pvector([Mount(dataset_id=DATASET)])}, r"mounts\[0\].path: must be an absolute path"),
        ({"mounts": pvector([Mount(dataset_id=DATASET, path="data")])}, r"mounts\[0\].path: must be an absolute"),
        (
            {"mounts": pvector([Mount(dataset_id=DATASET, path="/a"), Mount(dataset_id=DATASET, path="/a")])},
            r"mounts\[1\].path: /a is there already",
        ),
        ({"ports": pvector([_PORT, _PORT.set(internal=81)])}, r"ports\[1\].external: 8080 of tcp is another's"),
        ({"ports": pvector([_PORT.set(host_address="10.0.0.1"), _PORT])}, r"ports\[1\].external: 8080 of tcp is"),
        ({"ports": pvector([_PORT, _PORT.set(host_address="10.0.0.1")])}, r"ports\[1\].external: 8080 of tcp is"),
        ({"environment": pmap({"A=B": "1"})}, r"environment\['A=B'\]: no name of a variable"),
        ({"labels": pmap({"org.flocker.identity": "1"})}, "are the runtime's own"),
        ({"command": pvector(["a\0b"])}, r"command\[0\]: contains a NUL character"),
        ({"entrypoint": pvector(["\ud800"])}, r"entrypoint\[0\]: contains half of a surrogate pair"),
        ({"stop_signal": "polite"}, "stop_signal: no signal 'polite'"),
        ({"capabilities_add": pvector(["net admin"])}, "capabilities_add: no capability 'net admin'"),
        ({"capabilities_drop": pvector(["-"])}, "capabilities_drop: no capability '-'"),
        ({"health": HealthCheck()}, "health.command: is empty"),
    ],
)
def test_refused(changes: dict[str, Any], reason: str) -> None:
    """
    What Docker can't do is refused by the name of the field.
    """
    with pytest.raises(ContainerRefused, match=reason):
        spec.check(PLAIN.set(**changes))


def test_what_can_be_done_is_not_refused() -> None:
    """
    A whole definition passes.
    """
    spec.check(
        PLAIN.set(
            mounts=pvector([Mount(dataset_id=DATASET, path="/a"), Mount(dataset_id=DATASET, path="/b")]),
            environment=pmap({"A": "1"}),
            labels=pmap({"team": "one"}),
            ports=pvector(
                [
                    _PORT.set(protocol="udp"),
                    _PORT.set(host_address="10.0.0.1"),
                    _PORT.set(host_address="10.0.0.2"),
                    _PORT.set(external=8081),
                ]
            ),
            stop_signal="SIGRTMIN+3",
            capabilities_add=pvector(["NET_ADMIN"]),
            health=HealthCheck(command=pvector(["true"])),
        )
    )
