"""
The runtime ``docker``: containers of Docker Engine.

What a container is to Docker is in ``docker_spec``; what keeps Docker from starting one that must not run here any
more, in ``docker_grants``. Containers are the agent's by their labels: others are never touched, whatever their names.
"""

from __future__ import annotations

import math
import os
import stat
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eliot import log_message
from pyrsistent import PMap, pmap, pvector

from flocker_agent.runtime import docker_changes
from flocker_agent.runtime import docker_spec as spec
from flocker_agent.runtime.docker_engine import DockerEngine, EngineAway, EngineRefused, NotThere
from flocker_agent.runtime.docker_grants import Grants
from flocker_agent.runtime.docker_images import Images
from flocker_agent.runtime.docker_mounts import unseen
from flocker_agent.runtime.docker_ports import check_ports, kept_for_nobody
from flocker_agent.runtime.docker_watch import Watch
from flocker_agent.runtime.process_writing import replace_text
from flocker_py.model import Container, ContainerName, DatasetId, PullPolicy
from flocker_py.observed import ContainerObservation
from flocker_py.runtime import (
    ContainerChanged,
    ContainerMissing,
    ContainerRefused,
    ContainerRuntimeError,
    ContainerStartFailed,
    ContainerStillRunning,
    RuntimeCapabilities,
)

DEFAULT_NETWORK = "flocker"
DEFAULT_GRANTS_PATH = "/run/flocker/docker"
_IDENTITY_FILE = "identity"
_IDENTITY_CHARACTERS = 8
_CREATED = "created"
_LARGEST_FILE_BYTES = 1024 * 1024


class DockerRuntime:
    """
    Containers of Docker Engine. It implements ``flocker_py.runtime.Runtime``.

    :param state_path: this agent's own folder; made if it is not there. Runtimes with different folders don't see each
        other's containers, also on one engine.
    :param grants_path: a folder on a file system in memory, which several runtimes may share.
    :param network: the network of the containers, made if there is none.
    :param put_back: whether ``repair`` puts back what somebody has changed; otherwise it only tells of it.
    """

    def __init__(
        self,
        engine: DockerEngine,
        state_path: Path,
        *,
        grants_path: Path = Path(DEFAULT_GRANTS_PATH),
        network: str = DEFAULT_NETWORK,
        put_back: bool = True,
    ) -> None:
        self._engine = engine
        self._network = network
        self._put_back = put_back
        state_path = state_path.absolute()
        state_path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._identity = _identity(state_path / _IDENTITY_FILE)
        self._label = f"{spec.IDENTITY_LABEL}={self._identity}"
        self._grants = Grants(grants_path / self._identity, state_path / "stopped")
        self._images = Images(engine, state_path / "images")
        self._digests: dict[str, str] = {}
        self._prepared: dict[ContainerName, Container] = {}
        self._changed: frozenset[ContainerName] = frozenset()
        self._busy: dict[ContainerName, threading.Lock] = {}
        self._busy_guard = threading.Lock()

    @property
    def capabilities(self) -> RuntimeCapabilities:
        """
        What Docker can do.
        """
        return spec.CAPABILITIES

    def check(self, container: Container) -> None:
        """
        Answer whether ``start`` could do all that this container asks for.

        :raises ContainerRefused: naming the field and the reason.
        """
        spec.check(container)

    def prepare(self, container: Container) -> None:
        """
        Fetch the image, as the container's policy says, and see whether its ports are free.

        :raises ContainerRefused: as ``check``.
        :raises ContainerNotPrepared: the registry does not answer, or refuses; a foreign program holds a port.
        """
        spec.check(container)
        # First, so that a port that stays taken doesn't have the registry asked at every try; and after what may have
        # taken long.
        check_ports(self._engine, self._network, container)
        self._images.fetch(container, again=container.pull is PullPolicy.ALWAYS)
        check_ports(self._engine, self._network, container)
        self._prepared[container.name] = container

    def containers(self) -> PMap[ContainerName, ContainerObservation]:
        """
        Every container of ours that was started and not removed.

        :raises EngineAway: nobody knows.
        """
        observed = {}
        unstarted = []
        changed = set()
        for inspected in self._engine.containers(self._label):
            name = spec.name_of(inspected["Config"]["Labels"])
            if inspected["State"]["Status"] == _CREATED:
                unstarted.append(name)
            else:
                observed[name] = self._observation(inspected)
                if docker_changes.changes(inspected):
                    changed.add(name)
        self._changed = frozenset(changed)
        for name in unstarted:
            self._sweep(name)
        return pmap(observed)

    def definition(self, name: ContainerName) -> Container:
        """
        What the container was started as.

        :raises ContainerMissing: there is none.
        """
        return spec.definition_of(self._started(name)["Config"]["Labels"])

    def start(self, container: Container, paths: Mapping[DatasetId, Path], *, leased: bool = False) -> None:
        """
        Start a container. One that runs as the same definition is left alone; a finished one is replaced.

        :raises ContainerRefused: as ``check``; another definition runs under that name; it is to be bound to the lease;
            Docker has a container of that name that is not ours, or warns that it won't do something that was asked.
        :raises ContainerStartFailed: Docker could not start it, or a dataset is not there; nothing of it is left.
        :raises ContainerNotPrepared: its image could not be had, and isn't the one that it ran with here before.
        :raises EngineAway: with ``nothing_begun`` if the engine was away before it was asked for a container.
        """
        spec.check(container)
        if leased:
            raise self._no_leases(container.name)
        missing = [str(mount.dataset_id) for mount in container.mounts if mount.dataset_id not in paths]
        if missing:
            raise ContainerStartFailed(f"Container {container.name!r}: not mounted on this host: {', '.join(missing)}")
        sources = [str(paths[mount.dataset_id]) for mount in container.mounts]
        with self._busy_lock(container.name):
            with _beginning_nothing():
                present = self._found(container.name)
            if present is not None and present["State"]["Status"] in docker_changes.RUNS:
                self._left_alone(container, sources, present)
                return
            from_file = _environment_file(container)
            prepared = self._prepared.pop(container.name, None) == container
            docker_name = spec.docker_name(self._identity, container.name)
            with _beginning_nothing():
                again = container.pull is PullPolicy.ALWAYS and not prepared
                self._images.fetch_to_start(container, docker_name, present, again=again)
            if present is not None:
                self._forget(present)
            self._begin(container, sources, from_file)
            self._images.remember(container, docker_name)

    def lease_ends_at_seconds(self) -> float:
        """
        0: there is no lease that anything here would be bound to.
        """
        return 0.0

    def renew_lease(self, ends_at_seconds: float) -> None:
        """
        Without effect: nothing here can be bound to it.
        """

    def bind_to_lease(self, name: ContainerName, *, leased: bool) -> None:
        """
        Only unbinding is possible: nothing ever was bound.

        :raises ContainerMissing: there is none.
        :raises ContainerRefused: it is to be bound.
        """
        self._started(name)
        if leased:
            raise self._no_leases(name)

    def fence(self, name: ContainerName) -> None:
        """
        Without effect: nothing here is bound to the lease.

        :raises ContainerMissing: there is none.
        """
        self._started(name)

    def stop(self, name: ContainerName, *, grace_seconds: float) -> None:
        """
        End a container. Returns when nothing of it runs any more.

        :raises ContainerMissing: there is none.
        :raises ContainerStillRunning: it survived the last signal.
        """
        with self._busy_lock(name):
            present = self._started(name)
            docker_name = spec.docker_name(self._identity, name)
            # First, so that nothing starts it again from here on: not its policy, and nobody by hand.
            self._grants.revoke(docker_name)
            if not self._is_running(present["Id"]):
                return
            self._write_down(lambda: self._grants.write_stopped(docker_name))
            refusal = ""
            try:
                # Docker counts whole seconds. Without one it kills at once.
                self._engine.stop(present["Id"], grace_seconds=math.ceil(grace_seconds))
            except EngineRefused as error:
                refusal = f": {error}"
            if self._is_running(present["Id"]):
                raise ContainerStillRunning(f"Container {name!r} has not ended after a kill{refusal}")

    def is_changed(self, name: ContainerName) -> bool:
        """
        Whether a limit that was asked for, the restart policy or the network was another than that when ``containers``
        looked.
        """
        return name in self._changed

    def repair(self, name: ContainerName) -> None:
        """
        Put back the limits that were asked for, the restart policy, and the container into its network. Harmless if
        there is no such container.

        :raises ContainerChanged: Docker refuses that, or it is not to be done.
        """
        with self._busy_lock(name):
            present = self._found(name)
            changes = {} if present is None else docker_changes.changes(present)
            if present is None or not changes:
                return
            what = docker_changes.told(changes, present)
            told = f"Container {name!r} was changed by hand: {what}"
            if not self._put_back:
                raise ContainerChanged(f"{told}; it stays so, as changed_by_hand in agent.yml says")
            try:
                self._change_back(present["Id"], name, changes)
            except EngineRefused as error:
                raise ContainerChanged(f"{told}; Docker can't put it back: {error}") from error
            # Else it would be put back again and again, in a hurry.
            if docker_changes.changes(self._engine.inspect(present["Id"])):
                raise ContainerChanged(f"{told}; Docker leaves it so")
            log_message(message_type="flocker:docker:changed-by-hand", name=name, put_back=what)

    def _change_back(self, container: str, name: ContainerName, changes: Mapping[str, Any]) -> None:
        limits = docker_changes.update(changes)
        if limits:
            self._engine.update(container, limits)
        if docker_changes.NETWORK in changes:
            self._engine.connect(container, changes[docker_changes.NETWORK], spec.aliases(name))

    def remove(self, name: ContainerName) -> None:
        """
        Forget a container that has ended. Docker forgets its log with it. Harmless if there is none.

        :raises ContainerStillRunning: it has not ended.
        """
        with self._busy_lock(name):
            present = self._found(name)
            if present is None:
                return
            if present["State"]["Status"] in docker_changes.RUNS:
                raise ContainerStillRunning(f"Container {name!r} has not ended; stop it first")
            self._forget(present)

    def watch(self, changed: Callable[[ContainerName], None]) -> Callable[[], None]:
        """
        Be told, from a thread of its own, when a container may have changed.

        :returns: call it to be told no more.
        """
        return Watch(self._engine, self._label, self._names, changed).end

    # -- beginning ---------------------------------------------------------------------------------------------------

    def _begin(self, container: Container, sources: Sequence[str], from_file: Sequence[str]) -> None:
        docker_name = spec.docker_name(self._identity, container.name)
        self._write_down(lambda: self._grants.grant(docker_name))
        surroundings = spec.Surroundings(
            identity=self._identity,
            network=self._network,
            gateway=self._engine.network_gateway(self._network),
            grant_path=str(self._grants.path(docker_name)),
            file_environment=pvector(from_file),
        )
        try:
            created, warnings = self._engine.create(docker_name, spec.creation(container, sources, surroundings))
        except EngineRefused as error:
            self._grants.forget(docker_name)
            raise self._not_created(container, docker_name, error) from error
        not_done = spec.not_done(container, warnings)
        if not_done is not None:
            self._engine.remove(created)
            self._grants.forget(docker_name)
            raise ContainerRefused(
                f"Container {container.name!r} can't be run by Docker on this node as it was asked for: {not_done}"
            )
        try:
            self._engine.start(created)
        except EngineRefused as error:
            self._engine.remove(created)
            self._grants.forget(docker_name)
            reasons = [str(error), *kept_for_nobody(self._engine, container.ports).values()]
            raise ContainerStartFailed(
                f"Container {container.name!r}: Docker could not start it: {'; '.join(reasons)}"
            ) from error
        hidden = self._unseen(created, sources)
        if hidden:
            self._grants.revoke(docker_name)
            self._engine.stop(created, grace_seconds=0)
            self._engine.remove(created)
            self._grants.forget(docker_name)
            raise ContainerStartFailed(
                f"Container {container.name!r}: Docker Engine does not see what is mounted at {', '.join(hidden)}:"
                " it has mounts of its own. Let it share those of the host (no MountFlags in its unit, no snap)"
            )

    def _unseen(self, container: str, sources: Sequence[str]) -> list[str]:
        """
        Those of the paths that are mounted, but not for the engine. None of what has ended already.
        """
        if not sources:
            return []
        process = Path("/proc") / str(self._engine.inspect(container)["State"]["Pid"])
        try:
            theirs = (process / "mountinfo").read_text(errors="surrogateescape")
            # Where the agent has processes of its own, the number is somebody else's.
            is_its = container in (process / "cgroup").read_text(errors="surrogateescape")
        except OSError:
            return []
        ours = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
        return unseen([str(Path(source).resolve()) for source in sources], ours, theirs) if is_its else []

    def _not_created(self, container: Container, docker_name: str, error: EngineRefused) -> ContainerRuntimeError:
        try:
            foreign = self._engine.inspect(docker_name)
        except NotThere:
            return ContainerStartFailed(f"Container {container.name!r}: Docker refuses it: {error}")
        return ContainerRefused(
            f"Container {container.name!r}: Docker has another container named {docker_name}, with id"
            f" {foreign['Id'][:12]}, which is not this agent's; rename or remove it"
        )

    def _left_alone(self, container: Container, sources: Sequence[str], present: Mapping[str, Any]) -> None:
        labels = present["Config"]["Labels"]
        if spec.definition_of(labels) != container or spec.sources_of(labels) != list(sources):
            raise ContainerRefused(f"Container {container.name!r} runs with another definition; stop it first")
        docker_name = spec.docker_name(self._identity, container.name)
        if not self._grants.granted(docker_name) and not self._grants.stopped(docker_name):
            self._write_down(lambda: self._grants.grant(docker_name))
        if present["State"]["Paused"]:
            self._engine.unpause(present["Id"])

    # -- finding -----------------------------------------------------------------------------------------------------

    def _found(self, name: ContainerName) -> dict[str, Any] | None:
        """
        The container as Docker has it, started or not; None: there is none.
        """
        found = self._engine.containers(self._label, f"{spec.NAME_LABEL}={name}")
        return next((each for each in found if spec.name_of(each["Config"]["Labels"]) == name), None)

    def _started(self, name: ContainerName) -> dict[str, Any]:
        found = self._found(name)
        if found is None or found["State"]["Status"] == _CREATED:
            raise ContainerMissing(f"No container {name!r}")
        return found

    def _is_running(self, container: str) -> bool:
        try:
            return self._engine.inspect(container)["State"]["Status"] in docker_changes.RUNS
        except NotThere:
            return False

    def _sweep(self, name: ContainerName) -> None:
        """
        Remove what was created by a start that didn't come to its end: the engine or the agent was killed.
        """
        busy = self._busy_lock(name)
        if not busy.acquire(blocking=False):
            # It is being started, or somebody removes it. Who looks doesn't wait for that.
            return
        try:
            present = self._found(name)
            if present is not None and present["State"]["Status"] == _CREATED:
                self._forget(present)
        except EngineRefused as error:
            # The next look tries again. It must not keep this one from what else there is.
            log_message(message_type="flocker:docker:not-swept", name=name, reason=str(error))
        finally:
            busy.release()

    def _names(self) -> list[ContainerName]:
        return [spec.name_of(each["Config"]["Labels"]) for each in self._engine.containers(self._label)]

    def _observation(self, inspected: Mapping[str, Any]) -> ContainerObservation:
        labels = inspected["Config"]["Labels"]
        docker_name = spec.docker_name(self._identity, spec.name_of(labels))
        return spec.observation(
            inspected,
            spec.definition_of(labels),
            stopped=self._grants.stopped(docker_name),
            granted=self._grants.granted(docker_name),
            digest=self._digest(inspected["Image"]),
        )

    def _digest(self, image_id: str) -> str:
        """
        The digest by which a registry knows an image; that of its configuration, where it is from none.
        """
        known = self._digests.get(image_id)
        if known is None:
            image = self._engine.image(image_id) or {}
            repositories = image.get("RepoDigests") or [f"@{image_id}"]
            known = self._digests[image_id] = repositories[0].partition("@")[2]
        return known

    def _forget(self, present: Mapping[str, Any]) -> None:
        self._engine.remove(present["Id"])
        self._grants.forget(spec.docker_name(self._identity, spec.name_of(present["Config"]["Labels"])))

    def _busy_lock(self, name: ContainerName) -> threading.Lock:
        with self._busy_guard:
            return self._busy.setdefault(name, threading.Lock())

    @staticmethod
    def _write_down(what: Callable[[], None]) -> None:
        try:
            what()
        except OSError as error:
            raise ContainerRuntimeError(f"what Docker may start can't be written down: {error}") from error

    @staticmethod
    def _no_leases(name: ContainerName) -> ContainerRefused:
        return ContainerRefused(f"Container {name!r}: the runtime 'docker' can't bind containers to the lease")


def _identity(path: Path) -> str:
    if not path.exists():
        replace_text(str(path), uuid.uuid4().hex[:_IDENTITY_CHARACTERS])
    return path.read_text().strip()


@contextmanager
def _beginning_nothing() -> Iterator[None]:
    """
    Should the engine go away, it has not been asked to begin anything yet.
    """
    try:
        yield
    except EngineAway as error:
        error.nothing_begun = True
        raise


def _environment_file(container: Container) -> list[str]:
    """
    What its file with environment says.

    :raises ContainerStartFailed: it can't be read, others can read it, or a line in it is wrong. What it says is never
        told.
    """
    if container.environment_file is None:
        return []
    begin = f"Container {container.name!r}: the file with environment {container.environment_file}"
    try:
        with Path(container.environment_file).open(encoding="utf-8") as file:
            about = os.fstat(file.fileno())
            if about.st_uid != os.geteuid() or stat.S_IMODE(about.st_mode) & 0o077:
                raise ContainerStartFailed(f"{begin} must belong to the agent's user, with mode 0600")
            if about.st_size > _LARGEST_FILE_BYTES:
                raise ContainerStartFailed(f"{begin} is larger than {_LARGEST_FILE_BYTES} bytes")
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ContainerStartFailed(f"{begin} can't be read: {reason}") from error
    lines = spec.parsed_environment(text)
    if isinstance(lines, int):
        raise ContainerStartFailed(f"{begin}, line {lines}: must be NAME=VALUE")
    return lines
