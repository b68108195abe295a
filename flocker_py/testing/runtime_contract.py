"""
The contract of a container runtime, as tests. For a runtime of your own:

    class TestMyRuntime(RuntimeContract):
        @pytest.fixture
        def make_host(self, tmp_path_factory: pytest.TempPathFactory) -> MakeHost:
            return lambda: MyHost(tmp_path_factory.mktemp("host"))

``MyHost`` has what ``flocker_py.testing.runtime_hosts.HostUnderTest`` asks for. If containers can be bound to the lease
of their node, the class is also a ``flocker_py.testing.runtime_contract_leases.LeaseContract``.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from pyrsistent import pmap, pvector

from flocker_py.model import (
    ContainerName,
    DatasetId,
    HealthCheck,
    Link,
    Mount,
    Port,
    PullPolicy,
    RestartName,
    RestartPolicy,
)
from flocker_py.observed import ContainerPhase, Health
from flocker_py.runtime import (
    ContainerMissing,
    ContainerRefused,
    ContainerStartFailed,
    ContainerStillRunning,
    Runtime,
)
from flocker_py.testing.runtime_contract_leases import LeaseContract
from flocker_py.testing.runtime_hosts import (
    NAME,
    PATIENT_SECONDS,
    Behaviour,
    HostUnderTest,
    MakeHost,
    RuntimeFixtures,
    container,
    eventually,
    phase,
    start,
)

_DATASET = DatasetId(UUID(int=2))

# A value for each field that a runtime may refuse, as a user might give it.
_SAMPLES: dict[str, Any] = {
    "image": "registry.example/database:1",
    "environment": pmap({"COLOUR": "blue"}),
    "ports": pvector([Port(internal=80, external=8080)]),
    "links": pvector([Link(alias="database", local_port=5432, remote_port=15432)]),
    "memory_bytes": 64 * 1024 * 1024,
    "cpu_shares": 512,
    "swappiness": 10,
    "labels": pmap({"team": "one"}),
    "pull": PullPolicy.NEVER,
    "entrypoint": pvector(["/bin/sh", "-c"]),
    "environment_file": "/etc/flocker/database.env",
    "stop_signal": "SIGINT",
    "cpus": 0.5,
    "pids_limit": 50,
    "health": HealthCheck(command=pvector(["true"]), interval_seconds=1.0),
    "log_driver": "json-file",
    "log_options": pmap({"max-size": "1m"}),
    "read_only": True,
    "user": "1000:1000",
    "capabilities_add": pvector(["NET_ADMIN"]),
    "capabilities_drop": pvector(["CHOWN"]),
    "security_options": pvector(["no-new-privileges"]),
}


class WatcherFailed(Exception):
    """
    A watcher of the contract raises this.
    """


class RuntimeContract(RuntimeFixtures):
    """
    Everything that ``flocker_py.runtime.Runtime`` promises.
    """

    # -- starting ----------------------------------------------------------------------------------------------------

    def test_new_host_has_no_containers(self, runtime: Runtime) -> None:
        """
        A host on which nothing was started has no containers, whatever else runs there.
        """
        assert pmap() == runtime.containers()

    def test_started_container_runs(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        A started container is observed as running, and its application runs once.
        """
        start(host, runtime)

        assert (ContainerPhase.RUNNING, 1) == (phase(runtime), host.living(NAME))

    def test_running_container_has_no_exit_status(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        There is no exit status of what still runs.
        """
        start(host, runtime)

        assert runtime.containers()[NAME].exit_status is None

    def test_observed_mounts(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        A container is observed with the datasets it mounts, in order.
        """
        datasets = list(host.mount_paths())
        start(host, runtime, mounts=mounts(runtime, *datasets))

        assert datasets == list(runtime.containers()[NAME].mounts)

    def test_definition_is_kept(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        The definition of a container is what it was started as.
        """
        started = start(host, runtime, restart=RestartPolicy(name=RestartName.ON_FAILURE, maximum_retry_count=3))

        assert started == runtime.definition(NAME)

    def test_definition_of_missing_container(self, runtime: Runtime) -> None:
        """
        A container that was never started has no definition.
        """
        with pytest.raises(ContainerMissing):
            runtime.definition(NAME)

    def test_start_twice(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        Starting what runs already leaves it alone: the same run goes on, in one copy.
        """
        started = start(host, runtime)
        first = runtime.containers()[NAME]
        runtime.start(started, host.mount_paths())

        assert (first, 1, 1) == (runtime.containers()[NAME], host.living(NAME), host.starts(NAME))

    def test_start_as_another(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        Another definition is refused while one runs under its name, and that one goes on.
        """
        started = start(host, runtime)
        with pytest.raises(ContainerRefused):
            runtime.start(started.set(stop_grace_seconds=1.5), host.mount_paths())

        assert (started, 1, 1) == (runtime.definition(NAME), host.living(NAME), host.starts(NAME))

    def test_start_replaces_finished(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        A container that has ended is started anew, as another one too, and counts its restarts from zero.
        """
        start(host, runtime, restart=RestartPolicy(name=RestartName.ALWAYS))
        host.end(NAME, exit_status=0)
        eventually(lambda: host.starts(NAME) == 2)
        runtime.stop(NAME, grace_seconds=PATIENT_SECONDS)
        start(host, runtime, stop_grace_seconds=1.5)

        seen = runtime.containers()[NAME]
        assert (ContainerPhase.RUNNING, None, 0, 1) == (seen.phase, seen.exit_status, seen.restarts, host.living(NAME))

    def test_failing_start_raises(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        A program that can't be executed is an error of start itself.
        """
        with pytest.raises(ContainerStartFailed, match=NAME):
            runtime.start(container(host, behaviour=Behaviour.MISSING), host.mount_paths())

    def test_failing_start_leaves_nothing(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        After a start that failed there is no container, and the same name can be used.
        """
        with pytest.raises(ContainerStartFailed):
            runtime.start(container(host, behaviour=Behaviour.MISSING), host.mount_paths())
        before = runtime.containers()
        start(host, runtime)

        assert (pmap(), ContainerPhase.RUNNING) == (before, phase(runtime))

    def test_dataset_not_mounted(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        A container whose dataset is not on this host is not started, and the error names the dataset.
        """
        absent = DatasetId(uuid4())
        with pytest.raises(ContainerStartFailed, match=str(absent)):
            runtime.start(container(host, mounts=mounts(runtime, absent)), host.mount_paths())

        assert pmap() == runtime.containers()

    def test_containers_do_not_disturb_one_another(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        Containers are started and stopped at the same time, from several threads.
        """
        names = [ContainerName(f"application-{number}") for number in range(4)]

        def start_and_stop(name: ContainerName) -> None:
            runtime.start(container(host, name=name), host.mount_paths())
            eventually(lambda: host.starts(name) == 1)
            runtime.containers()
            if name != names[0]:
                runtime.stop(name, grace_seconds=PATIENT_SECONDS)

        with ThreadPoolExecutor(len(names)) as threads:
            list(threads.map(start_and_stop, names))

        assert [1, 0, 0, 0] == [host.living(name) for name in names]

    @pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "two words", "dépôt", "x" * 60, "-rf", "%2e", "Ω\n"])
    def test_names(self, host: HostUnderTest, runtime: Runtime, name: str) -> None:
        """
        A name is either refused before anything happens, or it works, whatever it would mean in a path.
        """
        odd = ContainerName(name)
        asked = container(host, name=odd)
        try:
            runtime.check(asked)
        except ContainerRefused:
            pytest.skip(f"this runtime refuses the name {name!r}")
        runtime.start(asked, host.mount_paths())

        assert (pmap({odd: ContainerPhase.RUNNING}), asked) == (phases(runtime), runtime.definition(odd))

    # -- what it can do ----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("field", sorted(_SAMPLES))
    def test_fields(self, host: HostUnderTest, runtime: Runtime, field: str) -> None:
        """
        A field is refused by its name exactly if it isn't among those that the runtime says it can do.
        """
        asked = container(host).set(**{field: _SAMPLES[field]})
        try:
            runtime.check(asked)
            refused = False
        except ContainerRefused as refusal:
            refused = field in str(refusal)

        assert refused == (field not in runtime.capabilities.container_fields)

    def test_health(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        A runtime that can check health says how a container is from its start on, and only of one that has a check.
        """
        if "health" not in runtime.capabilities.container_fields:
            pytest.skip(f"the runtime {runtime.capabilities.name!r} can't check health")
        start(host, runtime)
        unchecked = runtime.containers()[NAME].health
        runtime.stop(NAME, grace_seconds=PATIENT_SECONDS)
        start(host, runtime, health=_SAMPLES["health"])
        first = runtime.containers()[NAME].health
        eventually(lambda: runtime.containers()[NAME].health is Health.HEALTHY)
        runtime.stop(NAME, grace_seconds=PATIENT_SECONDS)

        assert (unchecked, runtime.containers()[NAME].health) == (Health.NONE, Health.NONE)
        assert first in (Health.STARTING, Health.HEALTHY)

    def test_mount_path(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        A path inside the container is refused exactly if the runtime says that it has none.
        """
        mount = Mount(dataset_id=_DATASET, path="/var/lib/data")
        try:
            runtime.check(container(host, mounts=pvector([mount])))
            refused = False
        except ContainerRefused as refusal:
            refused = "mounts" in str(refusal)

        assert refused == (not runtime.capabilities.mount_paths)

    def test_read_only_mount(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        A mount that can't be written is refused exactly if the runtime says that it has none.
        """
        path = "/var/lib/data" if runtime.capabilities.mount_paths else None
        mount = Mount(dataset_id=_DATASET, path=path, read_only=True)
        try:
            runtime.check(container(host, mounts=pvector([mount])))
            refused = False
        except ContainerRefused as refusal:
            refused = "read_only" in str(refusal)

        assert refused == (not runtime.capabilities.read_only_mounts)

    def test_prepare(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        Preparing, any number of times, starts nothing and leaves what runs alone; what was prepared starts.
        """
        runtime.prepare(container(host))
        runtime.prepare(container(host))
        before = runtime.containers()
        start(host, runtime)
        started = runtime.containers()
        runtime.prepare(container(host))

        assert (before, runtime.containers()) == (pmap(), started)

    def test_prepare_beside_other_calls(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        Preparing may go on while the same container is started and stopped, and neither notices.
        """
        over = threading.Event()
        failed: list[Exception] = []
        # Before there are two threads: hosts under test make what an application needs only once.
        wanted = container(host)

        def prepare_again_and_again() -> None:
            try:
                while not over.is_set():
                    runtime.prepare(wanted)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is seen below
                failed.append(error)

        beside = threading.Thread(target=prepare_again_and_again)
        beside.start()
        try:
            start(host, runtime)
            phase = runtime.containers()[NAME].phase
            runtime.stop(NAME, grace_seconds=PATIENT_SECONDS)
        finally:
            over.set()
            beside.join()

        assert (phase, runtime.containers()[NAME].phase, failed) == (
            ContainerPhase.RUNNING,
            ContainerPhase.EXITED,
            [],
        )

    def test_prepare_refuses_as_check_does(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        What can't be done is refused when it is to be prepared, before anybody relies on it.
        """
        cannot = sorted(set(_SAMPLES) - set(runtime.capabilities.container_fields))
        refused = []
        for field in cannot:
            with pytest.raises(ContainerRefused, match=field):
                runtime.prepare(container(host).set(**{field: _SAMPLES[field]}))
            refused.append(field)

        assert refused == cannot

    def test_leases(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        Binding to the lease is refused exactly if the runtime says that it can't; one that can is held to it.
        """
        start(host, runtime)
        runtime.renew_lease(host.boottime_seconds() + 3600)
        try:
            runtime.bind_to_lease(NAME, leased=True)
            refused = False
        except ContainerRefused:
            refused = True

        can = runtime.capabilities.leases
        assert (can, not can, can) == (isinstance(self, LeaseContract), refused, runtime.containers()[NAME].leased)

    def test_start_bound_to_the_lease(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        What is to be bound to the lease is not started by a runtime that can't do that.
        """
        runtime.renew_lease(host.boottime_seconds() + 3600)
        try:
            start(host, runtime, leased=True)
            refused = False
        except ContainerRefused:
            refused = True

        can = runtime.capabilities.leases
        assert (not can, 1 if can else 0) == (refused, host.starts(NAME))

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"name": ContainerName("")}, "name"),
            ({"command": pvector(), "image": None}, "command"),
            ({"restart": RestartPolicy(name=RestartName.ALWAYS, maximum_retry_count=3)}, "maximum_retry_count"),
        ],
    )
    def test_senseless_definition(
        self, host: HostUnderTest, runtime: Runtime, changes: dict[str, Any], field: str
    ) -> None:
        """
        A definition that means nothing is refused by the field's name, not started as something else.
        """
        with pytest.raises(ContainerRefused, match=field):
            runtime.start(container(host).set(**changes), host.mount_paths())

        assert pmap() == runtime.containers()

    def test_check_touches_nothing(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        Asking whether a container could be started starts nothing.
        """
        runtime.check(container(host))

        assert (pmap(), 0) == (runtime.containers(), host.living(NAME))

    # -- stopping and removing ---------------------------------------------------------------------------------------

    def test_stop(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        When stop returns, the application runs no more, and the container is observed as ended.
        """
        start(host, runtime)
        runtime.stop(NAME, grace_seconds=PATIENT_SECONDS)

        assert (ContainerPhase.EXITED, 0) == (phase(runtime), host.living(NAME))

    def test_stop_stubborn(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        An application that doesn't end when asked is killed, and its exit status says so.
        """
        start(host, runtime, behaviour=Behaviour.STUBBORN)
        runtime.stop(NAME, grace_seconds=0.05)

        seen = runtime.containers()[NAME]
        assert (ContainerPhase.EXITED, -9, 0) == (seen.phase, seen.exit_status, host.living(NAME))

    def test_stop_twice(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        Stopping what has ended changes nothing.
        """
        start(host, runtime)
        host.end(NAME, exit_status=3)
        eventually(lambda: phase(runtime) is ContainerPhase.EXITED)
        before = runtime.containers()
        runtime.stop(NAME, grace_seconds=PATIENT_SECONDS)

        assert before == runtime.containers()

    def test_stop_missing(self, runtime: Runtime) -> None:
        """
        What was never started can't be stopped.
        """
        with pytest.raises(ContainerMissing):
            runtime.stop(NAME, grace_seconds=PATIENT_SECONDS)

    def test_stopped_stays_stopped(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        A policy doesn't start again what was stopped, not even ``always``.
        """
        start(host, runtime, restart=RestartPolicy(name=RestartName.ALWAYS))
        runtime.stop(NAME, grace_seconds=PATIENT_SECONDS)

        seen = runtime.containers()[NAME]
        assert (ContainerPhase.EXITED, 0, 1) == (seen.phase, seen.restarts, host.starts(NAME))

    def test_remove(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        A container that was removed is there no more.
        """
        start(host, runtime)
        runtime.stop(NAME, grace_seconds=PATIENT_SECONDS)
        runtime.remove(NAME)

        assert pmap() == runtime.containers()

    def test_remove_twice(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        Removing what isn't there is harmless.
        """
        start(host, runtime)
        runtime.stop(NAME, grace_seconds=PATIENT_SECONDS)
        runtime.remove(NAME)
        runtime.remove(NAME)

        assert pmap() == runtime.containers()

    def test_remove_running(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        A container that runs is not removed, and goes on.
        """
        start(host, runtime)
        with pytest.raises(ContainerStillRunning):
            runtime.remove(NAME)

        assert (ContainerPhase.RUNNING, 1) == (phase(runtime), host.living(NAME))

    # -- ending by itself --------------------------------------------------------------------------------------------

    def test_exit_status(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        Without another policy, an application that ends by itself stays ended, with its exit status.
        """
        start(host, runtime)
        host.end(NAME, exit_status=3)
        eventually(lambda: phase(runtime) is ContainerPhase.EXITED)

        seen = runtime.containers()[NAME]
        assert (3, 0, 1) == (seen.exit_status, seen.restarts, host.starts(NAME))

    def test_always(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        With the policy ``always`` an application is started again even after it ended well.
        """
        start(host, runtime, restart=RestartPolicy(name=RestartName.ALWAYS))
        host.end(NAME, exit_status=0)
        eventually(lambda: host.starts(NAME) == 2)
        eventually(lambda: phase(runtime) is ContainerPhase.RUNNING)

        seen = runtime.containers()[NAME]
        assert (None, 1, 1) == (seen.exit_status, seen.restarts, host.living(NAME))

    def test_on_failure(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        With the policy ``on-failure`` an application is started again until it ends well.
        """
        start(host, runtime, restart=RestartPolicy(name=RestartName.ON_FAILURE))
        host.end(NAME, exit_status=3)
        eventually(lambda: host.starts(NAME) == 2)
        host.end(NAME, exit_status=0)
        eventually(lambda: phase(runtime) is ContainerPhase.EXITED)

        seen = runtime.containers()[NAME]
        assert (0, 1, 2) == (seen.exit_status, seen.restarts, host.starts(NAME))

    def test_on_failure_with_maximum(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        An application that fails is started again only as often as the policy's maximum says.
        """
        start(host, runtime, restart=RestartPolicy(name=RestartName.ON_FAILURE, maximum_retry_count=1))
        host.end(NAME, exit_status=3)
        eventually(lambda: host.starts(NAME) == 2)
        host.end(NAME, exit_status=4)
        eventually(lambda: phase(runtime) is ContainerPhase.EXITED)

        seen = runtime.containers()[NAME]
        assert (4, 1, 2) == (seen.exit_status, seen.restarts, host.starts(NAME))

    def test_nothing_to_repair(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        What nobody has changed is not taken for changed; repairing it, or what is not there, changes nothing.
        """
        start(host, runtime)
        before = runtime.containers()
        runtime.repair(NAME)
        runtime.repair(ContainerName("nobody"))

        assert (False, False) == (runtime.is_changed(NAME), runtime.is_changed(ContainerName("nobody")))
        assert (before, 1) == (runtime.containers(), host.starts(NAME))

    def test_watch(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        Who watches is told when an application has ended by itself, and finds it ended when it looks then.
        """
        start(host, runtime)
        found: list[ContainerPhase] = []
        end = runtime.watch(lambda name: found.append(phase(runtime, name)))
        host.end(NAME, exit_status=3)
        eventually(lambda: ContainerPhase.EXITED in found)
        end()

    def test_watch_containers_to_come(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        A container that is started after somebody began to watch is watched too, whichever runtime starts it.
        """
        found: list[object] = []
        end = host.open().watch(lambda _: found.append(phases(runtime)))
        start(host, runtime)
        host.end(NAME, exit_status=3)
        eventually(lambda: pmap({NAME: ContainerPhase.EXITED}) in found)
        end()

    def test_watcher_that_fails(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        A call back that raises keeps nobody from being told, that time or later.
        """
        start(host, runtime, restart=RestartPolicy(name=RestartName.ALWAYS))
        told: list[ContainerName] = []

        def fail(name: ContainerName) -> None:
            told.append(name)
            raise WatcherFailed

        # Where the failure is shown is the runtime's affair, but pytest takes it for a failure of the test.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(threading, "excepthook", lambda _: None)
            end = runtime.watch(fail)
            host.end(NAME, exit_status=3)
            eventually(lambda: host.starts(NAME) == 2 and bool(told))
            before = len(told)
            host.end(NAME, exit_status=3)
            eventually(lambda: len(told) > before)
            end()

    def test_watch_no_more(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        Who ended watching is told no more; ending it twice is harmless.
        """
        told: list[ContainerName] = []
        start(host, runtime)
        end = runtime.watch(told.append)
        end()
        end()
        told.clear()
        host.end(NAME, exit_status=3)
        eventually(lambda: phase(runtime) is ContainerPhase.EXITED)

        assert [] == told

    # -- being opened again ------------------------------------------------------------------------------------------

    def test_opened_again_finds_the_same_run(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        A runtime that is opened again finds a container running as before, not started again.
        """
        started = start(host, runtime)
        before = runtime.containers()
        again = host.open()

        assert (before, started, 1) == (again.containers(), again.definition(NAME), host.starts(NAME))

    def test_opened_again_starts_no_copy(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        A runtime that is opened again and told to start what runs already, leaves it alone.
        """
        started = start(host, runtime)
        host.open().start(started, host.mount_paths())

        assert (1, 1) == (host.living(NAME), host.starts(NAME))

    def test_opened_again_stops(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        A container is stopped by another runtime than the one that started it, which is gone.
        """
        start(host, runtime)
        again = host.open()
        again.stop(NAME, grace_seconds=PATIENT_SECONDS)

        assert (ContainerPhase.EXITED, 0) == (phase(again), host.living(NAME))

    def test_opened_again_tells_how_it_ended(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        The exit status of what ended is known to a runtime that is opened afterwards.
        """
        start(host, runtime)
        host.end(NAME, exit_status=3)
        eventually(lambda: phase(runtime) is ContainerPhase.EXITED)

        assert 3 == host.open().containers()[NAME].exit_status

    def test_hosts_do_not_see_each_other(self, new_host: MakeHost) -> None:
        """
        Two agents, each with its own folder, run containers of one name without seeing each other's.
        """
        one, other = new_host(), new_host()
        runtimes = one.open(), other.open()
        start(one, runtimes[0])
        before = runtimes[1].containers()
        start(other, runtimes[1])
        runtimes[1].stop(NAME, grace_seconds=PATIENT_SECONDS)

        assert (pmap(), ContainerPhase.RUNNING, 1, 0) == (
            before,
            phase(runtimes[0]),
            one.living(NAME),
            other.living(NAME),
        )


def mounts(runtime: Runtime, *datasets: DatasetId) -> Any:
    """
    Mounts of datasets, with paths where the runtime has them.
    """
    return pvector(
        Mount(dataset_id=dataset_id, path=f"/data/{dataset_id}" if runtime.capabilities.mount_paths else None)
        for dataset_id in datasets
    )


def phases(runtime: Runtime) -> Any:
    """
    What all containers are doing.
    """
    return pmap({name: seen.phase for name, seen in runtime.containers().items()})
