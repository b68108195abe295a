"""
Runtime contract: containers that are bound to the lease of their node.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pyrsistent import pmap

from flocker_py.model import ContainerName, RestartName, RestartPolicy
from flocker_py.observed import ContainerPhase
from flocker_py.runtime import ContainerMissing, ContainerStartFailed, Runtime
from flocker_py.testing.runtime_hosts import (
    NAME,
    Behaviour,
    HostUnderTest,
    MakeHost,
    RuntimeFixtures,
    container,
    eventually,
    phase,
    start,
)

# More than any test takes.
_LONG_SECONDS = 3600.0
# So that what renews a lease comes to do so before it is over, however busy the machine is.
_SHORT_SECONDS = 6.0
_RENEWED_EVERY_SECONDS = 0.1
_OTHER = ContainerName("other")
_WITNESS = ContainerName("witness")
_ALWAYS = RestartPolicy(name=RestartName.ALWAYS)


class LeaseContract(RuntimeFixtures):
    """
    What ``flocker_py.runtime.Runtime`` promises of leases, for runtimes whose capabilities say that they have them.

    That something goes on although a lease has ended shows when a witness has ended with that lease: one that ignores
    that it is asked to, which gives the other as long to end as anything has.
    """

    # -- the lease ---------------------------------------------------------------------------------------------------

    def test_none_yet(self, runtime: Runtime) -> None:
        """
        On a host where nobody has said when the lease ends, it has ended.
        """
        assert runtime.lease_ends_at_seconds() == 0

    def test_renewed(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        A runtime that is opened again knows when the lease ends.
        """
        ends_at_seconds = host.boottime_seconds() + _LONG_SECONDS
        runtime.renew_lease(ends_at_seconds)

        assert ends_at_seconds == host.open().lease_ends_at_seconds()

    def test_earlier_end(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        A lease that is renewed until earlier than was said before ends as late as was said before.
        """
        ends_at_seconds = host.boottime_seconds() + _LONG_SECONDS
        runtime.renew_lease(ends_at_seconds)
        runtime.renew_lease(ends_at_seconds - 1)

        assert ends_at_seconds == runtime.lease_ends_at_seconds()

    # -- starting ----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("said", [False, True], ids=["never said", "ended"])
    def test_start_without_a_lease(self, host: HostUnderTest, runtime: Runtime, said: bool) -> None:
        """
        What is to be bound to the lease isn't started when that has ended.
        """
        if said:
            runtime.renew_lease(host.boottime_seconds())
        with pytest.raises(ContainerStartFailed, match="lease"):
            runtime.start(container(host), host.mount_paths(), leased=True)

        assert (pmap(), 0, 0) == (runtime.containers(), host.starts(NAME), host.living(NAME))

    @pytest.mark.parametrize("leased", [True, False])
    def test_started_as_asked(self, host: HostUnderTest, runtime: Runtime, leased: bool) -> None:
        """
        A container is observed as bound to the lease exactly if it was started so.
        """
        runtime.renew_lease(host.boottime_seconds() + _LONG_SECONDS)
        start(host, runtime, leased=leased)

        assert (leased, ContainerPhase.RUNNING) == (host.open().containers()[NAME].leased, phase(runtime))

    def test_start_twice(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        Starting what runs already leaves it as it is bound.
        """
        runtime.renew_lease(host.boottime_seconds() + _LONG_SECONDS)
        started = start(host, runtime)
        runtime.start(started, host.mount_paths(), leased=True)

        assert not runtime.containers()[NAME].leased

    # -- the end -----------------------------------------------------------------------------------------------------

    def test_ends_by_itself(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        A container that was started bound to the lease ends when that isn't renewed any more, though nobody asks the
        runtime for anything; and it counts as stopped, not as ended by itself.
        """
        with renewing(host, runtime):
            start(host, runtime, leased=True)
        host.let_pass(runtime.lease_ends_at_seconds())
        eventually(lambda: host.living(NAME) == 0)
        eventually(lambda: phase(runtime) is ContainerPhase.EXITED)

        assert runtime.containers()[NAME].stopped

    def test_policy_starts_nothing(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        What has ended with the lease isn't started again by its policy, not even by ``always``.
        """
        start(host, runtime, restart=_ALWAYS)
        runtime.bind_to_lease(NAME, leased=True)
        host.let_pass(host.boottime_seconds())
        eventually(lambda: phase(runtime) is ContainerPhase.EXITED)

        seen = runtime.containers()[NAME]
        assert (True, 0, 1, 0) == (seen.stopped, seen.restarts, host.starts(NAME), host.living(NAME))

    def test_stubborn(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        An application that goes on when it is asked to end, is killed.
        """
        start(host, runtime, behaviour=Behaviour.STUBBORN)
        runtime.bind_to_lease(NAME, leased=True)
        host.let_pass(host.boottime_seconds())
        eventually(lambda: phase(runtime) is ContainerPhase.EXITED)

        assert (-9, 0) == (runtime.containers()[NAME].exit_status, host.living(NAME))

    def test_watchers_are_told(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        Who watches is told of a container that ends with the lease.
        """
        found: list[ContainerPhase] = []
        with renewing(host, runtime):
            start(host, runtime, leased=True)
            end = runtime.watch(lambda name: found.append(phase(runtime, name)))
        host.let_pass(runtime.lease_ends_at_seconds())
        eventually(lambda: ContainerPhase.EXITED in found)
        end()

    def test_ended_by_itself(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        What had ended by itself before the lease did stays as it has ended.
        """
        with renewing(host, runtime):
            start(host, runtime, leased=True)
            host.end(NAME, exit_status=3)
            eventually(lambda: phase(runtime) is ContainerPhase.EXITED)
        before = runtime.containers()
        host.let_pass(runtime.lease_ends_at_seconds())
        runtime.fence(NAME)

        assert (before, 3, False) == (runtime.containers(), before[NAME].exit_status, before[NAME].stopped)

    # -- what goes on ------------------------------------------------------------------------------------------------

    def test_others_go_on(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        Containers that aren't bound to the lease go on when it has ended, whether they never were or are no more.
        """
        with renewing(host, runtime):
            start(host, runtime)
            start(host, runtime, name=_OTHER)
            runtime.bind_to_lease(_OTHER, leased=True)
            runtime.bind_to_lease(_OTHER, leased=False)
        before = runtime.containers()
        a_witness_has_ended(host, runtime)

        assert (before, 1, 1) == (
            runtime.containers().remove(_WITNESS),
            host.living(NAME),
            host.living(_OTHER),
        )

    def test_renewed_goes_on(self, new_host: MakeHost) -> None:
        """
        A container that is bound to the lease goes on for as long as that is renewed; the same lease of another host,
        where it isn't, ends.
        """
        host, elsewhere = new_host(), new_host()
        runtime, other = host.open(), elsewhere.open()
        start(host, runtime)
        start(elsewhere, other, name=_WITNESS, behaviour=Behaviour.STUBBORN)
        ends_at_seconds = host.boottime_seconds() + _SHORT_SECONDS
        runtime.renew_lease(ends_at_seconds)
        runtime.bind_to_lease(NAME, leased=True)
        runtime.renew_lease(ends_at_seconds + _LONG_SECONDS)
        host.let_pass(ends_at_seconds)
        other.renew_lease(ends_at_seconds)
        other.bind_to_lease(_WITNESS, leased=True)
        elsewhere.let_pass(ends_at_seconds)
        eventually(lambda: phase(other, _WITNESS) is ContainerPhase.EXITED)

        assert (ContainerPhase.RUNNING, 1, 1) == (phase(runtime), host.living(NAME), host.starts(NAME))

    def test_started_again(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        What has ended with the lease is started again when that has been renewed, and goes on as any that was started.
        """
        start(host, runtime)
        runtime.bind_to_lease(NAME, leased=True)
        runtime.fence(NAME)
        runtime.renew_lease(host.boottime_seconds() + _LONG_SECONDS)
        start(host, runtime, leased=True)

        seen = runtime.containers()[NAME]
        assert (ContainerPhase.RUNNING, True, False, 1) == (seen.phase, seen.leased, seen.stopped, host.living(NAME))

    # -- binding -----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("leased", [True, False])
    def test_bind_while_it_runs(self, host: HostUnderTest, runtime: Runtime, leased: bool) -> None:
        """
        A container is bound and unbound while it goes on, also by another runtime than the one that started it.
        """
        runtime.renew_lease(host.boottime_seconds() + _LONG_SECONDS)
        start(host, runtime, leased=not leased)
        before = runtime.containers()[NAME]
        host.open().bind_to_lease(NAME, leased=leased)

        assert (before.set(leased=leased), 1, 1) == (runtime.containers()[NAME], host.living(NAME), host.starts(NAME))

    def test_bind_twice(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        Binding what is bound changes nothing.
        """
        runtime.renew_lease(host.boottime_seconds() + _LONG_SECONDS)
        start(host, runtime, leased=True)
        before = runtime.containers()
        runtime.bind_to_lease(NAME, leased=True)

        assert before == runtime.containers()

    @pytest.mark.parametrize("leased", [True, False])
    def test_bind_ended(self, host: HostUnderTest, runtime: Runtime, leased: bool) -> None:
        """
        What has ended stays as it was bound.
        """
        runtime.renew_lease(host.boottime_seconds() + _LONG_SECONDS)
        start(host, runtime, leased=not leased)
        host.end(NAME, exit_status=0)
        eventually(lambda: phase(runtime) is ContainerPhase.EXITED)
        before = runtime.containers()
        runtime.bind_to_lease(NAME, leased=leased)

        assert before == runtime.containers()

    @pytest.mark.parametrize("leased", [True, False])
    def test_bind_missing(self, runtime: Runtime, leased: bool) -> None:
        """
        What was never started can't be bound.
        """
        with pytest.raises(ContainerMissing):
            runtime.bind_to_lease(NAME, leased=leased)

    # -- fencing -----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("behaviour", [Behaviour.OBEDIENT, Behaviour.STUBBORN])
    def test_fence(self, host: HostUnderTest, runtime: Runtime, behaviour: Behaviour) -> None:
        """
        When fence returns after the end of the lease, nothing runs any more of a container that is bound to it.
        """
        start(host, runtime, behaviour=behaviour, restart=_ALWAYS)
        runtime.bind_to_lease(NAME, leased=True)
        runtime.fence(NAME)

        seen = runtime.containers()[NAME]
        assert (ContainerPhase.EXITED, True, 0, 1) == (seen.phase, seen.stopped, host.living(NAME), host.starts(NAME))

    def test_fence_twice(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        Fencing what has ended changes nothing.
        """
        start(host, runtime)
        runtime.bind_to_lease(NAME, leased=True)
        runtime.fence(NAME)
        before = runtime.containers()
        runtime.fence(NAME)

        assert before == runtime.containers()

    def test_fence_exactly_the_bound(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        Fencing one container after the other ends those that are bound to the lease, and no other.
        """
        start(host, runtime)
        start(host, runtime, name=_OTHER)
        runtime.bind_to_lease(_OTHER, leased=True)
        runtime.fence(NAME)
        runtime.fence(_OTHER)

        assert (ContainerPhase.RUNNING, 1, 0) == (phase(runtime), host.living(NAME), host.living(_OTHER))

    def test_fence_while_the_lease_goes_on(self, host: HostUnderTest, runtime: Runtime) -> None:
        """
        As long as the lease goes on nothing is fenced.
        """
        runtime.renew_lease(host.boottime_seconds() + _LONG_SECONDS)
        start(host, runtime, leased=True)
        before = runtime.containers()
        runtime.fence(NAME)

        assert (before, 1) == (runtime.containers(), host.living(NAME))

    def test_fence_missing(self, runtime: Runtime) -> None:
        """
        What was never started can't be fenced.
        """
        with pytest.raises(ContainerMissing):
            runtime.fence(NAME)


def a_witness_has_ended(host: HostUnderTest, runtime: Runtime) -> None:
    """
    Wait until the lease of a host has ended, and something that was bound to it has been killed.
    """
    start(host, runtime, name=_WITNESS, behaviour=Behaviour.STUBBORN)
    runtime.bind_to_lease(_WITNESS, leased=True)
    host.let_pass(runtime.lease_ends_at_seconds())
    eventually(lambda: phase(runtime, _WITNESS) is ContainerPhase.EXITED)


@contextmanager
def renewing(host: HostUnderTest, runtime: Runtime) -> Iterator[None]:
    """
    As an agent does, for as long as the block lasts; the lease ends soon after.
    """

    def renew() -> None:
        while True:
            runtime.renew_lease(host.boottime_seconds() + _SHORT_SECONDS)
            renewed.set()
            if over.wait(_RENEWED_EVERY_SECONDS):
                return

    renewed, over = threading.Event(), threading.Event()
    thread = threading.Thread(target=renew)
    thread.start()
    renewed.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()
