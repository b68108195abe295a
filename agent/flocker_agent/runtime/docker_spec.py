"""
What the runtime ``docker`` makes of a container: which it can't run, and what Docker Engine is asked to create.

=======================  ===========================================================================================
what a container says    what it is to Docker
=======================  ===========================================================================================
name                     ``flocker-IDENTITY-NAME``, the labels of ``LABELS``, and its alias in the runtime's network
mounts                   binds of the datasets' paths; Docker refuses to start where one is not there
restart                  ``no``, ``unless-stopped``, ``on-failure:N``: see ``docker_grants`` for why that is safe
command, entrypoint      Cmd and Entrypoint; where empty, what the image says
links                    ``ALIAS_PORT_80_TCP`` and so on, and the alias as a name of the network's gateway
stop grace period        Docker counts whole seconds, so it is rounded up
health                   Healthcheck; its command runs without a shell
exit status              above 128: the signal that ended it, negative, as shells count
=======================  ===========================================================================================
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pyrsistent import pvector

from flocker_py.model import Container, ContainerName, Port, RestartName, RestartPolicy
from flocker_py.observed import ContainerObservation, ContainerPhase, Health
from flocker_py.records import Record, field_names, sequence, value
from flocker_py.runtime import ContainerRefused, RuntimeCapabilities
from flocker_py.wire import from_text, json_text, json_value, to_text

_OWN_FIELDS = ("name", "node_id", "restart")
CAPABILITIES = RuntimeCapabilities(
    name="docker",
    container_fields=pvector(name for name in field_names(Container) if name not in _OWN_FIELDS),
    mount_paths=True,
    read_only_mounts=True,
    # A container of Docker goes on whether there is an agent or not, and nothing else would end it with a lease.
    leases=False,
)

LABELS = "org.flocker."
IDENTITY_LABEL = f"{LABELS}identity"
NAME_LABEL = f"{LABELS}container"
DEFINITION_LABEL = f"{LABELS}definition"
SOURCES_LABEL = f"{LABELS}sources"

GRANT_TARGET = "/.flocker-granted"
"""Where a container sees the file without which Docker doesn't start it."""

_NAME_LIMIT_CHARACTERS = 100
_UNSAFE = re.compile(r"[^a-zA-Z0-9_.-]")
_ALIAS = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?")
_SIGNAL = re.compile(r"(SIG)?[A-Z][A-Z0-9+-]*|[0-9]{1,2}")
_CAPABILITY = re.compile(r"[A-Z_]+")
_VARIABLE = re.compile(r"[^=\0]+")
# Of warnings: others tell of what is done, if not in the best way.
_NOT_DONE = re.compile(r"\b(discarded|ignored)\b", re.IGNORECASE)
# By the words of such a warning; the first that is in it.
_FIELD_OF_WARNING = {
    "swappiness": "swappiness",
    "memory": "memory_bytes",
    "pids": "pids_limit",
    "shares": "cpu_shares",
    "cpu": "cpus",
}
NANOSECONDS = 1_000_000_000
_UNKNOWN_STATUS = 255
_LAST_SIGNAL = 64

_HEALTH = {"starting": Health.STARTING, "healthy": Health.HEALTHY, "unhealthy": Health.UNHEALTHY}
_PHASES = {
    "created": ContainerPhase.STARTING,
    "restarting": ContainerPhase.STARTING,
    "running": ContainerPhase.RUNNING,
    # By somebody's hand, and for a while: it doesn't answer, but has not ended.
    "paused": ContainerPhase.STARTING,
    "removing": ContainerPhase.EXITED,
    "exited": ContainerPhase.EXITED,
    "dead": ContainerPhase.EXITED,
}


class Surroundings(Record):
    """
    What a container is created in.

    :param identity: of the agent, so that several can share an engine.
    :param network: the name of the network of all containers of the agent.
    :param gateway: its address in that network, where linked ports are reached.
    :param grant_path: of the file that it needs to be started.
    :param file_environment: what its file says: NAME=VALUE each.
    """

    identity: str = value(str)
    network: str = value(str)
    gateway: str = value(str)
    grant_path: str = value(str)
    file_environment: Sequence[str] = sequence(str, default=())


def check(container: Container) -> None:
    """
    Answer whether the container can be run on Docker.

    :raises ContainerRefused: naming the field and the reason.
    """
    reason = _reason_to_refuse(container)
    if reason is not None:
        raise ContainerRefused(f"Container {container.name!r} can't be run by the runtime 'docker': {reason}")


def docker_name(identity: str, name: ContainerName) -> str:
    """
    What a container is called in Docker. Different names never become the same.
    """
    safe = _UNSAFE.sub("_", name)[:_NAME_LIMIT_CHARACTERS]
    if safe != name:
        safe = f"{safe}-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:12]}"
    return f"flocker-{identity}-{safe}"


def aliases(name: ContainerName) -> list[str]:
    """
    By which others find a container in its network.
    """
    return [name] if _ALIAS.fullmatch(name) else []


def creation(container: Container, sources: Sequence[str], surroundings: Surroundings) -> dict[str, Any]:
    """
    The body of Docker's request to create a container that passed ``check``.

    :param sources: the path on this host of each mount, in order.
    """
    binds = [
        _bind(source, mount.path or "", read_only=mount.read_only)
        for source, mount in zip(sources, container.mounts, strict=True)
    ]
    host: dict[str, Any] = {
        "Mounts": [*binds, _bind(surroundings.grant_path, GRANT_TARGET, read_only=True)],
        "PortBindings": _port_bindings(container.ports),
        "RestartPolicy": restart_policy(container.restart),
        "NetworkMode": surroundings.network,
        "ExtraHosts": [f"{link.alias.lower()}:{surroundings.gateway}" for link in container.links],
        "ReadonlyRootfs": container.read_only,
        "CapAdd": list(container.capabilities_add),
        "CapDrop": list(container.capabilities_drop),
        "SecurityOpt": list(container.security_options),
        **limits(container),
    }
    if container.swappiness is not None:
        host["MemorySwappiness"] = container.swappiness
    if container.log_driver is not None or container.log_options:
        host["LogConfig"] = {"Type": container.log_driver or "", "Config": dict(container.log_options)}
    body: dict[str, Any] = {
        "Image": container.image,
        "Env": environment(container, surroundings.file_environment, gateway=surroundings.gateway),
        "ExposedPorts": {_port_key(port): {} for port in container.ports},
        "Labels": {**container.labels, **labels(container, sources, surroundings.identity)},
        "HostConfig": host,
        "NetworkingConfig": {"EndpointsConfig": {surroundings.network: {"Aliases": aliases(container.name)}}},
    }
    if container.command:
        body["Cmd"] = list(container.command)
    if container.entrypoint:
        body["Entrypoint"] = list(container.entrypoint)
    if container.stop_signal is not None:
        body["StopSignal"] = container.stop_signal
    if container.user is not None:
        body["User"] = container.user
    if container.health is not None:
        body["Healthcheck"] = {
            "Test": ["CMD", *container.health.command],
            "Interval": _nanoseconds(container.health.interval_seconds),
            "Timeout": _nanoseconds(container.health.timeout_seconds),
            "StartPeriod": _nanoseconds(container.health.start_period_seconds),
            "Retries": container.health.retries,
        }
    return body


def labels(container: Container, sources: Sequence[str], identity: str) -> dict[str, str]:
    """
    By which a container is known again.
    """
    return {
        IDENTITY_LABEL: identity,
        NAME_LABEL: container.name,
        DEFINITION_LABEL: to_text(container),
        SOURCES_LABEL: json_text(list(sources)),
    }


def limits(container: Container) -> dict[str, int]:
    """
    What Docker can change while a container runs, as far as something was asked for.
    """
    asked = {
        "Memory": container.memory_bytes,
        "CpuShares": container.cpu_shares,
        "NanoCpus": None if container.cpus is None else round(container.cpus * NANOSECONDS),
        "PidsLimit": container.pids_limit,
    }
    return {name: limit for name, limit in asked.items() if limit is not None}


def restart_policy(policy: RestartPolicy) -> dict[str, Any]:
    """
    Docker's policy that does the same while the engine runs.
    """
    names = {RestartName.NEVER: "no", RestartName.ALWAYS: "unless-stopped", RestartName.ON_FAILURE: "on-failure"}
    return {"Name": names[policy.name], "MaximumRetryCount": policy.maximum_retry_count or 0}


def environment(container: Container, from_file: Sequence[str], *, gateway: str) -> list[str]:
    """
    The whole environment, in order: links, the file's, what the definition says. Later ones win.

    :param gateway: the address at which linked ports are reached; an address, since Flocker's were.
    """
    result = {}
    for link in container.links:
        alias = link.alias.upper().replace("-", "_").replace(".", "_")
        name = f"{alias}_PORT_{link.local_port}_TCP"
        result[name] = f"tcp://{gateway}:{link.remote_port}"
        result |= {f"{name}_ADDR": gateway, f"{name}_PORT": str(link.remote_port), f"{name}_PROTO": "tcp"}
    result |= dict(line.split("=", 1) for line in from_file)
    result |= container.environment
    return [f"{name}={text}" for name, text in result.items()]


def parsed_environment(text: str) -> list[str] | int:
    """
    What a file with environment says: NAME=VALUE each, values as they stand. Empty lines, and those that begin with #,
    say nothing.

    :returns: or the number of the first line that is neither.
    """
    result = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, _ = line.partition("=")
        if not equals or not name.strip() or name != name.strip() or "\0" in line:
            return number
        result.append(line)
    return result


def name_of(labelled: Mapping[str, str]) -> ContainerName:
    """
    The container that has these labels.
    """
    return ContainerName(labelled[NAME_LABEL])


def definition_of(labelled: Mapping[str, str]) -> Container:
    """
    What a container with these labels was started as.

    :raises WireError: another version of flocker_py wrote them.
    """
    return from_text(Container, labelled[DEFINITION_LABEL])


def sources_of(labelled: Mapping[str, str]) -> list[str]:
    """
    The paths on this host that a container with these labels was started with.
    """
    return list(json_value(labelled[SOURCES_LABEL]))


def not_done(container: Container, warnings: Sequence[str]) -> str | None:
    """
    What Docker, creating a container, said that it won't do of what was asked, with the field if it can be told; None:
    it does all.
    """
    told = []
    for warning in warnings:
        if _NOT_DONE.search(warning):
            field = next((field for word, field in _FIELD_OF_WARNING.items() if word in warning.lower()), None)
            asked = field is not None and getattr(container, field) is not None
            told.append(f"{field}: {warning}" if asked else warning)
    return "; ".join(told) or None


def observation(
    inspected: Mapping[str, Any], definition: Container, *, stopped: bool, granted: bool, digest: str | None
) -> ContainerObservation:
    """
    A container as Docker has it.

    :param inspected: what Docker answers to GET /containers/ID/json.
    :param stopped: we have asked it to end.
    :param granted: it has what it needs to be started, by Docker itself too.
    """
    state = inspected["State"]
    phase = _PHASES[state["Status"]]
    restarts = inspected.get("RestartCount", 0)
    health = _HEALTH.get(str((state.get("Health") or {}).get("Status")), Health.NONE)
    known = stopped or not _cut_short(definition.restart, state["ExitCode"], restarts=restarts, granted=granted)
    return ContainerObservation(
        name=name_of(inspected["Config"]["Labels"]),
        phase=phase,
        mounts=pvector(mount.dataset_id for mount in definition.mounts),
        exit_status=_exit_status(state["ExitCode"]) if phase is _ENDED and known else None,
        restarts=restarts,
        started_at_seconds=_seconds(state.get("StartedAt")),
        stopped=stopped and phase is _ENDED,
        health=health if phase is ContainerPhase.RUNNING else Health.NONE,
        image_digest=digest,
    )


_ENDED = ContainerPhase.EXITED


def _cut_short(policy: RestartPolicy, code: int, *, restarts: int, granted: bool) -> bool:
    """
    Whether a container that we haven't stopped and that doesn't run didn't end by itself, or was to be started again.
    """
    # Docker would have started it again, but for a boot of the host, a crash of dockerd, or somebody's hand.
    if policy.name is RestartName.ALWAYS:
        return True
    if policy.name is RestartName.ON_FAILURE and code != 0:
        return policy.maximum_retry_count is None or restarts < policy.maximum_retry_count
    # The host or the engine went down under it: Docker puts this number where it knows none.
    return code == _UNKNOWN_STATUS and not granted


def _exit_status(code: int) -> int:
    return 128 - code if 128 < code <= 128 + _LAST_SIGNAL else code


def _seconds(text: str | None) -> float | None:
    # Docker tells nanoseconds, and the year 1 of what never happened.
    if text is None or text.startswith("0001-"):
        return None
    return datetime.fromisoformat(re.sub(r"(\.\d{1,6})\d*", r"\1", text)).timestamp()


def _bind(source: str, target: str, *, read_only: bool) -> dict[str, Any]:
    # Of this type Docker refuses what is not there; the older form, "Binds", makes an empty folder of it.
    return {
        "Type": "bind",
        "Source": source,
        "Target": target,
        "ReadOnly": read_only,
        "BindOptions": {"Propagation": "rprivate"},
    }


def _port_key(port: Port) -> str:
    return f"{port.internal}/{port.protocol}"


def _port_bindings(ports: Sequence[Port]) -> dict[str, list[dict[str, str]]]:
    result: dict[str, list[dict[str, str]]] = {}
    for port in ports:
        bound = {"HostIp": port.host_address or "", "HostPort": str(port.external)}
        result.setdefault(_port_key(port), []).append(bound)
    return result


def _nanoseconds(seconds: float) -> int:
    return round(seconds * NANOSECONDS)


def _reason_to_refuse(container: Container) -> str | None:
    if not container.name:
        return "name: is empty"
    if container.image is None:
        return "image: there is none, and a command alone is no container of Docker"
    if container.restart.maximum_retry_count is not None and container.restart.name is not RestartName.ON_FAILURE:
        return "restart.maximum_retry_count: only the policy on-failure has one"
    return (
        _reason_in_mounts(container)
        or _reason_in_ports(container)
        or _reason_in_texts(container)
        or _reason_in_rights(container)
    )


def _reason_in_mounts(container: Container) -> str | None:
    targets = set()
    for index, mount in enumerate(container.mounts):
        if mount.path is None or not mount.path.startswith("/"):
            return f"mounts[{index}].path: must be an absolute path inside the container"
        if mount.path in targets:
            return f"mounts[{index}].path: {mount.path} is there already"
        targets.add(mount.path)
    return None


def _reason_in_ports(container: Container) -> str | None:
    taken: dict[tuple[str, int], set[str | None]] = {}
    for index, port in enumerate(container.ports):
        addresses = taken.setdefault((port.protocol, port.external), set())
        if port.host_address in addresses or (addresses and None in {port.host_address, *addresses}):
            return f"ports[{index}].external: {port.external} of {port.protocol} is another's of this container already"
        addresses.add(port.host_address)
    return None


def _reason_in_texts(container: Container) -> str | None:
    for name in container.environment:
        if not _VARIABLE.fullmatch(name):
            return f"environment[{name!r}]: no name of a variable"
    for name in container.labels:
        if name.startswith(LABELS):
            return f"labels[{name!r}]: labels that begin with {LABELS} are the runtime's own"
    texts = {
        "name": container.name,
        "image": container.image or "",
        **{f"command[{index}]": word for index, word in enumerate(container.command)},
        **{f"entrypoint[{index}]": word for index, word in enumerate(container.entrypoint)},
        **{f"environment[{name!r}]": text for name, text in container.environment.items()},
        **{f"mounts[{index}].path": mount.path or "" for index, mount in enumerate(container.mounts)},
    }
    for place, text in texts.items():
        if "\0" in text:
            return f"{place}: contains a NUL character"
        try:
            text.encode()
        except UnicodeEncodeError:
            return f"{place}: contains half of a surrogate pair"
    return None


def _reason_in_rights(container: Container) -> str | None:
    if container.stop_signal is not None and not _SIGNAL.fullmatch(container.stop_signal):
        return f"stop_signal: no signal {container.stop_signal!r}; give a name such as SIGINT, or a number"
    for field in ("capabilities_add", "capabilities_drop"):
        for capability in getattr(container, field):
            if not _CAPABILITY.fullmatch(capability):
                return f"{field}: no capability {capability!r}; give a name such as NET_ADMIN, or ALL"
    if container.health is not None and not container.health.command:
        return "health.command: is empty"
    return None
