"""
The checker, checked: deliberate bugs, each of which the simulation must find within a stated number of schedules.

A bug is a small change to the real functions, made in the process that runs the schedules. One that is not found is a
missing check.
"""

from __future__ import annotations

import base64
import contextlib
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import click
from pyrsistent import pmap

import flocker_agent.perform as performing
from flocker_agent import copying, loop, plan
from flocker_agent.changes import (
    AbortReceive,
    CreateDataset,
    DestroyDataset,
    Nothing,
    RemoveCopy,
    TakeDataset,
    TakeFinalSnapshot,
    UnmountDataset,
)
from flocker_agent.looks import Looks
from flocker_agent.storage import memory
from flocker_agent.storage.rules import Kept
from flocker_agent.storage.tokens import resume_position, token
from flocker_agent.transfer import send
from flocker_control import asked, ownership, preparing, service, situation, slices, starting
from flocker_control.leases import Leases
from flocker_control.situation import Situation
from flocker_control.state import changed
from flocker_control.store import StoreError
from flocker_py import leases as counting
from flocker_py.assignment import Keep, Own, Receive, Release, Remove, Stash
from flocker_py.model import MovePhase, Ownership
from flocker_py.runtime import ContainerRuntimeError
from flocker_py.storage import Role, StreamCut
from tests.simulation import node, session, transfer
from tests.simulation.chance import Schedule
from tests.simulation.runtime import SimulatedHost
from tests.simulation.schedule import bury, run

Patch = tuple[Any, str, Any]


class Bug(NamedTuple):
    """
    :param within: the number of schedules in which it must be found.
    :param changes: owner, attribute, and what to put there.
    """

    name: str
    breaks: str
    within: int
    changes: Callable[[], list[Patch]]


def _commit_without_guids() -> list[Patch]:
    def holds(s: Situation) -> bool:
        move = s.ownership.move
        seen = None if move is None else s.seen(move.target)
        return situation.phase(s) is MovePhase.FINAL and seen is not None and seen.role is Role.REPLICA

    return [(ownership, "TABLE", _with_guard("committed", holds))]


def _nothing_runs_without_an_engine() -> list[Patch]:
    real = Looks.at_containers

    def at_containers(looks: Any) -> Any:
        try:
            return real(looks)
        except ContainerRuntimeError:
            return next(looks._numbers), pmap(), {}

    return [(Looks, "at_containers", at_containers)]


def _engines_start_what_ran_before() -> list[Patch]:
    def loses_power(host: Any) -> None:
        for name, life in sorted(host._lives.items()):
            if life.program is not None:
                host.end(name, exit_status=137)

    return [(SimulatedHost, "loses_power", loses_power)]


def _with_guard(name: str, guard: Callable[[Situation], bool]) -> tuple[Any, ...]:
    return tuple((n, guard if n == name else g, e) for n, g, e in ownership.TABLE)


def _with_effect(name: str, effect: Callable[[Situation], Ownership]) -> tuple[Any, ...]:
    return tuple((n, g, effect if n == name else e) for n, g, e in ownership.TABLE)


def _mount_under_an_old_epoch() -> list[Patch]:
    real = plan._release

    def release(asked: Release, local: Any) -> Any:
        stored = local.stored
        if stored is not None and stored.role is Role.RELEASED and plan.final_guid(stored) is not None:
            return TakeDataset(dataset_id=asked.dataset_id, epoch=asked.epoch)
        return real(asked, local)

    return [(plan, "_release", release)]


def _create_because_not_seen() -> list[Patch]:
    real = plan._receive

    def receive(asked: Receive, local: Any) -> Any:
        if local.stored is None:
            return CreateDataset(dataset_id=asked.dataset_id, epoch=asked.epoch)
        return real(asked, local)

    return [(plan, "_receive", receive)]


def _remembered_may_create() -> list[Patch]:
    return [(node, "trusted", lambda assignment: assignment)]


def _swallow_a_failed_receive() -> list[Patch]:
    real = transfer.taken_in

    def taken_in(disk: Any, dataset_id: Any, stream: bytes) -> Any:
        try:
            return real(disk, dataset_id, stream)
        except StreamCut:
            # What came in part is taken for whole.
            found = disk.node.pool.state.datasets.get(dataset_id)
            if found is None or found.partial is None:
                raise
            made = found.set(whole=True, partial=None).with_snapshot(found.partial.to_guid, "move-x-1", 0.0)
            _put(disk, made)
            return disk.dataset(dataset_id).snapshots[-1]

    return [(transfer, "taken_in", taken_in)]


def _put(disk: Any, kept: Any) -> None:
    pool = disk.node.pool
    pool.state = pool.state.set(datasets=pool.state.datasets.set(kept.dataset_id, kept))


def _forced_receive() -> list[Patch]:
    # What differs from the owner's is no more in the way: it is thrown away, to be received anew.
    def stash(asked: Stash, local: Any) -> Any:
        return Nothing() if local.stored is None else DestroyDataset(dataset_id=asked.dataset_id)

    return [(plan, "_stash", stash)]


def _announce_before_persist() -> list[Patch]:
    real = service.ControlService._commit

    async def commit(self: Any, changes: Any) -> None:
        before = self.state
        self.state = changed(self.state, changes, revision=self.state.revision)
        self._reassign({r.dataset_id for r in changes.puts.values() if isinstance(r, Ownership)}, (), ())
        self.state = before
        await real(self, changes)

    return [(service.ControlService, "_commit", commit)]


def _lost_session_is_absence() -> list[Patch]:
    def absent(self: Situation, node_id: Any) -> bool:
        seen = self.nodes.get(node_id)
        return seen is None or self.dataset.dataset_id not in seen.datasets

    return [(Situation, "absent", absent)]


def _unknown_storage_is_absence() -> list[Patch]:
    def absent(self: Situation, node_id: Any) -> bool:
        seen = self.nodes.get(node_id)
        return seen is not None and self.dataset.dataset_id not in seen.datasets

    return [(Situation, "absent", absent)]


def _release_not_durable() -> list[Patch]:
    real = plan._release

    def release(asked: Release, local: Any) -> Any:
        stored = local.stored
        if stored is not None and stored.role is Role.OWNER and not local.users and stored.mounted_at is None:
            return TakeFinalSnapshot(dataset_id=asked.dataset_id, epoch=asked.epoch)
        return real(asked, local)

    return [(plan, "_release", release)]


def _settle_before_the_target_runs() -> list[Patch]:
    def taken(s: Situation) -> bool:
        return situation.phase(s) is MovePhase.TAKING and s.ownership.owner in s.nodes

    return [(ownership, "TABLE", _with_guard("taken", taken))]


def _settle_before_the_application_runs() -> list[Patch]:
    def taken(s: Situation) -> bool:
        return situation.phase(s) is MovePhase.TAKING and situation.is_proven(s)

    return [(ownership, "TABLE", _with_guard("taken", taken))]


def _settle_before_the_application_is_well() -> list[Patch]:
    return [(starting, "unwell", lambda _: ())]


def _cancel_after_commit() -> list[Patch]:
    def unwanted(s: Situation) -> bool:
        move = s.ownership.move
        return move is not None and (s.dataset.deleted or s.dataset.primary != move.target)

    return [(ownership, "TABLE", _with_guard("aborted", unwanted))]


def _take_up_under_the_same_epoch() -> list[Patch]:
    real = plan._take

    def take(asked: Own, stored: Any, local: Any) -> Any:
        if stored.epoch == asked.epoch and stored.role is Role.RELEASED:
            return TakeDataset(dataset_id=asked.dataset_id, epoch=asked.epoch)
        return real(asked, stored, local)

    def ended(s: Situation, outcome: Any, reason: str) -> Ownership:
        return s.ownership.set(move=None, last_move=ownership._finished(s, outcome, reason))

    return [(plan, "_take", take), (ownership, "_ended", ended)]


def _abort_without_a_higher_epoch() -> list[Patch]:
    def ended(s: Situation, outcome: Any, reason: str) -> Ownership:
        return s.ownership.set(move=None, last_move=ownership._finished(s, outcome, reason))

    return [(ownership, "_ended", ended)]


def _remove_without_comparing() -> list[Patch]:
    def remove(storage: Any, change: RemoveCopy) -> None:
        storage.destroy(change.dataset_id)

    def removing(asked: Remove, local: Any) -> Any:
        stored = local.stored
        if stored is None:
            return Nothing()
        if stored.mounted_at is not None:
            return UnmountDataset(dataset_id=asked.dataset_id)
        return RemoveCopy(dataset_id=asked.dataset_id)

    def assignment(s: Situation, node_id: Any) -> Any:
        # As if every other copy were a former owner's.
        asked = real(s, node_id)
        if isinstance(asked, Keep) and s.ownership.move is not None and s.ownership.move.phase is MovePhase.TAKING:
            return Remove(dataset_id=asked.dataset_id, epoch=asked.epoch)
        return asked

    real = slices._assignment
    return [
        (performing, "_remove_copy", remove),
        (plan, "_remove", removing),
        (slices, "_assignment", assignment),
    ]


def _final_snapshot_while_the_application_runs() -> list[Patch]:
    real = plan._release

    def release(asked: Release, local: Any) -> Any:
        stored = local.stored
        names = () if stored is None else tuple(s.name for s in stored.snapshots)
        if stored is not None and stored.role is Role.OWNER and plan.final_name(asked.epoch) not in names:
            return TakeFinalSnapshot(dataset_id=asked.dataset_id, epoch=asked.epoch)
        return real(asked, local)

    return [(plan, "_release", release)]


def _unmount_while_the_application_runs() -> list[Patch]:
    real = plan._release
    return [(plan, "_release", lambda asked, local: real(asked, local.set(users=())))]


def _start_where_nothing_is_mounted() -> list[Patch]:
    real = loop.Agent._usable_path

    def usable(self: Any, dataset_id: Any) -> Any:
        from pathlib import Path

        return real(self, dataset_id) or Path(f"/flocker/{dataset_id}")

    return [(loop.Agent, "_usable_path", usable)]


def _run_where_it_is_wanted() -> list[Patch]:
    return [(asked.Look, "runs_elsewhere", lambda *_: False), *_start_where_nothing_is_mounted()]


def _commit_twice_under_one_epoch() -> list[Patch]:
    real = ownership._committed
    return [
        (
            ownership,
            "TABLE",
            _with_effect("committed", lambda s: real(s).set(epoch=s.ownership.epoch)),
        )
    ]


def _forget_the_owner_after_failure() -> list[Patch]:
    def reassigned(s: Situation) -> bool:
        own = s.ownership
        return own.move is None and s.dataset.primary != own.owner and own.owner not in s.nodes

    return [(ownership, "TABLE", _with_guard("reassigned", reassigned))]


def _stale_source_after_the_last_round() -> list[Patch]:
    real = send.SendSession._take_snapshot

    def final(s: Situation) -> bool:
        return situation.phase(s) is MovePhase.RELEASING and situation.sending(s) is not None

    def final_effect(s: Situation) -> Ownership:
        # The last round is good enough: who waits for another snapshot?
        move = situation.move_under_way(s)
        progress = situation.sending(s)
        guid = None if progress is None else progress.acknowledged_guid
        return s.ownership.set(move=move.set(phase=MovePhase.FINAL, final_guid=guid or 1))

    return [
        (
            ownership,
            "TABLE",
            tuple(
                (n, final if n == "final" else g, final_effect if n == "final" else e) for n, g, e in ownership.TABLE
            ),
        ),
        (send.SendSession, "_take_snapshot", real),
    ]


def _destroy_instead_of_stash() -> list[Patch]:
    def stash(storage: Any, change: Any, _: float) -> None:
        storage.destroy(change.dataset_id)

    return [(performing, "_stash", stash)]


def _failover_keeps_the_epoch() -> list[Patch]:
    real = ownership._deposed
    return [(ownership, "_deposed", lambda s, target, guid: real(s, target, guid).set(epoch=s.ownership.epoch))]


def _failover_forgets_the_deposed() -> list[Patch]:
    real = ownership._deposed
    return [(ownership, "_deposed", lambda s, target, guid: real(s, target, guid).set(deposed=pmap()))]


def _old_assignment_after_a_boot() -> list[Patch]:
    real = node.SimulatedNode.start

    def start(self: Any) -> None:
        self._remembered_boot = self.boots
        real(self)

    return [(node.SimulatedNode, "start", start)]


def _failed_commit_is_taken_for_done() -> list[Patch]:
    async def commit(self: Any, changes: Any) -> None:
        try:
            await real(self, changes)
        except StoreError:
            self.state = changed(self.state, changes, revision=self.state.revision)

    real = service.ControlService._commit
    return [(service.ControlService, "_commit", commit)]


def _lease_over_with_the_session() -> list[Patch]:
    def is_fenced(s: Situation) -> bool:
        return situation.goes_by_its_lease(s) and s.ownership.owner not in s.nodes

    return [(situation, "is_fenced", is_fenced)]


def _lease_without_its_margin() -> list[Patch]:
    return [(counting, "margin_seconds", lambda _: 0.0)]


def _lease_by_clocks_that_are_right() -> list[Patch]:
    return [(counting, "margin_seconds", lambda _: counting.FENCING_SECONDS)]


def _lease_counted_from_the_answer() -> list[Patch]:
    real = session.SimulatedSession._renewed

    def renewed(self: Any, _sent_at_seconds: float, lease_seconds: float) -> None:
        real(self, self._node.boottime_seconds(), lease_seconds)

    return [(session.SimulatedSession, "_renewed", renewed)]


def _lease_by_the_other_clock() -> list[Patch]:
    # Control says when the lease ends, and the agent waits until its own clock shows that.
    def grants(self: Any, sent_at_seconds: float) -> None:
        real(self, sent_at_seconds)
        service = self._control.service
        known = None if service is None else service.state.nodes.get(self._node.node_id)
        if service is not None and known is not None:
            ends_at_seconds = service._clock.seconds() + service.leases.granted_seconds(known)
            self.controls_end.send("lease too", lambda: self._node.agent and self._node.agent.renewed(ends_at_seconds))

    real = session.SimulatedSession._grant
    return [(session.SimulatedSession, "_grant", grants)]


def _leases_forgotten_at_the_start() -> list[Patch]:
    return [(Leases, "_earlier_expire_at_seconds", lambda self, _: self.started_at_seconds)]


def _token_of_another_snapshot() -> list[Patch]:
    # Three guards, each of which is enough, are gone: a token is but a position, at both ends, and what is checked at
    # the end is no more than what was sent last.
    real = vars(memory)["admit"]

    def position(plan: Any, data_bytes: int, key: int = 0) -> int | None:
        if plan.resume_token is None:
            return None
        own = token(Kept(to_guid=plan.to_guid, from_guid=plan.from_guid, position=kept_position(plan.resume_token)))
        return resume_position(plan.set(resume_token=own), data_bytes, key)

    def admit(dataset_id: Any, present: Any, kept: Kept | None, opening: Any, written: Any) -> None:
        if kept is not None:
            kept = kept.set(to_guid=opening.to_guid, from_guid=opening.from_guid)
        real(dataset_id, present, kept, opening, written)

    return [
        (memory, "resume_position", position),
        (memory, "admit", admit),
        (memory, "zlib", SimpleNamespace(crc32=lambda _: 0)),
    ]


def kept_position(text: str) -> int:
    """
    How far a token says that a receive is.
    """
    position: int = json.loads(base64.urlsafe_b64decode(text))["position"]
    return position


def _granted_back_as_it_was() -> list[Patch]:
    # Without a final snapshot of what the application has written where it failed.
    real = ownership._went_back

    def went_back(s: Situation) -> Ownership:
        own, move = s.ownership, situation.move_under_way(s)
        return real(s).set(owner=move.source, epoch=own.epoch + 1, move=None, handed_over=pmap())

    return [(ownership, "TABLE", _with_effect("went back", went_back))]


def _release_before_the_target_is_ready() -> list[Patch]:
    return [(preparing, "unprepared", lambda _: ())]


def _busy_for_ever() -> list[Patch]:
    return [(ownership, "TABLE", _with_guard("held up", lambda _: False))]


def _companion_left_behind() -> list[Patch]:
    def stranded(s: Situation) -> bool:
        return situation.phase(s) is MovePhase.COPYING and situation.is_stranded(s)

    return [(ownership, "TABLE", _with_guard("stranded", stranded))]


def _companion_goes_ahead() -> list[Patch]:
    return [(ownership, "TABLE", _with_guard("committed", situation.target_holds_the_final_snapshot))]


def _companion_returns_alone() -> list[Patch]:
    def goes_back(s: Situation) -> bool:
        return starting.goes_back(s) and all(s.dataset.dataset_id < other.dataset_id for other in s.companions)

    return [(ownership, "TABLE", _with_guard("went back", goes_back))]


def _copy_of_the_newest() -> list[Patch]:
    def newest(storage: Any, origin: Any) -> Any:
        return storage.dataset(origin.dataset_id).snapshots[-1].guid

    def made(asked: Own, origin: Any, stored: Any) -> Any:
        if stored.partial:
            return AbortReceive(dataset_id=asked.dataset_id)
        return TakeDataset(dataset_id=asked.dataset_id, epoch=asked.epoch)

    # The name of what came in is looked at, too.
    return [(copying, "_found", newest), (plan, "_made", made)]


BUGS = (
    Bug("commit-without-guids", "the target's snapshot is not compared at the commit", 400, _commit_without_guids),
    Bug("mount-old-epoch", "what was laid down is taken up and mounted again", 60, _mount_under_an_old_epoch),
    Bug("create-not-seen", "what is not seen is made, empty", 40, _create_because_not_seen),
    Bug("remembered-may-create", "an old assignment may still create", 800, _remembered_may_create),
    Bug("swallow-receive", "a stream that was cut is taken for whole", 400, _swallow_a_failed_receive),
    Bug("forced-receive", "a copy that differs is thrown away, and received anew", 400, _forced_receive),
    Bug("announce-first", "nodes are told before it is durable", 40, _announce_before_persist),
    Bug("lost-session-is-absence", "a node without a session has nothing", 100, _lost_session_is_absence),
    Bug("unknown-is-absence", "a pool that can't be read is empty", 800, _unknown_storage_is_absence),
    Bug("release-not-durable", "the final snapshot comes before the record of it", 60, _release_not_durable),
    Bug("settle-early", "the old copy goes before the target has mounted", 100, _settle_before_the_target_runs),
    Bug("settle-unproven", "the move ends before its application runs", 100, _settle_before_the_application_runs),
    Bug("settle-unwell", "the move ends before its application is well", 100, _settle_before_the_application_is_well),
    Bug("cancel-committed", "a move is aborted after its commit", 400, _cancel_after_commit),
    Bug("same-epoch", "what was laid down is taken up under the same epoch", 200, _take_up_under_the_same_epoch),
    Bug("abort-keeps-epoch", "an abort doesn't raise the epoch", 100, _abort_without_a_higher_epoch),
    Bug("commit-keeps-epoch", "a commit doesn't raise the epoch", 60, _commit_twice_under_one_epoch),
    Bug("remove-unproven", "a former owner's copy is removed whatever it holds", 100, _remove_without_comparing),
    Bug(
        "final-in-use",
        "the final snapshot is taken while the application runs",
        60,
        _final_snapshot_while_the_application_runs,
    ),
    Bug("unmount-in-use", "a dataset is unmounted while its application runs", 60, _unmount_while_the_application_runs),
    Bug(
        "start-unmounted", "a container starts although its dataset isn't mounted", 60, _start_where_nothing_is_mounted
    ),
    Bug("no-engine-no-container", "what can't be looked at does not run", 500, _nothing_runs_without_an_engine),
    Bug("starts-by-itself", "an engine starts after a boot what ran before", 60, _engines_start_what_ran_before),
    Bug("runs-elsewhere", "a container starts while it runs elsewhere", 400, _run_where_it_is_wanted),
    Bug("last-round-is-final", "the last round counts as the final snapshot", 100, _stale_source_after_the_last_round),
    Bug("failover-by-silence", "an owner without a session loses its datasets", 60, _forget_the_owner_after_failure),
    Bug("destroy-not-stash", "what an operator went on without is destroyed", 150, _destroy_instead_of_stash),
    Bug("failover-keeps-epoch", "a failover doesn't raise the epoch", 150, _failover_keeps_the_epoch),
    Bug("failover-forgets", "the owner that was given up is forgotten", 400, _failover_forgets_the_deposed),
    Bug("acts-after-boot", "an assignment is gone by after a boot", 300, _old_assignment_after_a_boot),
    Bug("lease-ends-with-session", "a lease is over as soon as its session is", 400, _lease_over_with_the_session),
    Bug("lease-without-margin", "a lease is counted without its margin", 400, _lease_without_its_margin),
    Bug("lease-without-drift", "a margin for clocks that are never wrong", 800, _lease_by_clocks_that_are_right),
    Bug("lease-from-answer", "an agent counts its lease from the answer", 800, _lease_counted_from_the_answer),
    Bug("lease-by-other-clock", "an agent waits for a time of control's clock", 400, _lease_by_the_other_clock),
    Bug("lease-forgotten", "control that has started takes all leases as over", 400, _leases_forgotten_at_the_start),
    Bug("token-of-another", "a cut stream is gone on with by another snapshot's", 400, _token_of_another_snapshot),
    Bug("granted-back", "what doesn't start goes back as it was before", 400, _granted_back_as_it_was),
    Bug("released-unprepared", "nobody waits for what the target fetches", 500, _release_before_the_target_is_ready),
    Bug("busy-for-ever", "a move waits for a busy mount for ever", 400, _busy_for_ever),
    Bug("companion-left", "one dataset of a container goes back from its release alone", 800, _companion_left_behind),
    Bug("companion-ahead", "one dataset of a container is committed alone", 800, _companion_goes_ahead),
    Bug(
        "companion-returns",
        "one dataset of a container goes back from a failed start alone",
        400,
        _companion_returns_alone,
    ),
    Bug("copy-of-the-newest", "a copy is made of the newest snapshot there is", 300, _copy_of_the_newest),
    Bug("commit-failed-done", "a commit that failed is taken for done", 400, _failed_commit_is_taken_for_done),
)


@contextlib.contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """
    The bug is in the programs of this process.
    """
    changes = bug.changes()
    before = [(owner, name, owner.__dict__[name]) for owner, name, _ in changes]
    for owner, name, wrong in changes:
        setattr(owner, name, wrong)
    try:
        yield
    finally:
        for owner, name, right in before:
            setattr(owner, name, right)


def caught(bug: Bug) -> tuple[int | None, str, float]:
    """
    After how many schedules it was found, by which rule, and in how many seconds. None: not within its bound.
    """
    began = time.process_time()
    with planted(bug):
        for seed in range(bug.within):
            outcome = run(Schedule(seed=seed))
            broken = outcome.broken
            bury(outcome)
            if broken is not None and broken.rule == "exception":
                return None, str(broken), time.process_time() - began
            if broken is not None:
                return seed + 1, broken.rule, time.process_time() - began
    return None, "", time.process_time() - began


def _caught_by_name(name: str) -> tuple[str, tuple[int | None, str, float]]:
    try:
        return name, caught(next(bug for bug in BUGS if bug.name == name))
    except Exception as error:  # noqa: BLE001  # a bug that can no longer be planted as it is written was not found
        return name, (None, f"{type(error).__name__}: {error}", 0.0)


def run_catalogue(*, workers: int, only: str | None = None) -> int:
    """
    See that each is found, and print the table. Answers with the exit status.
    """
    from tests.simulation.run import prepared

    bugs = [bug for bug in BUGS if only in (None, bug.name)]
    missed = []
    click.echo(f"{'bug':<26}{'found after':>12}{'bound':>8}  {'by the rule':<28}{'':>8}")
    spawn = multiprocessing.get_context("spawn")
    by_name = {bug.name: bug for bug in bugs}
    with spawn.Pool(workers, prepared) as pool:
        for name, (after, rule, seconds) in pool.imap_unordered(_caught_by_name, by_name):
            bug = by_name[name]
            shown = "NOT FOUND" if after is None else str(after)
            click.echo(f"{name:<26}{shown:>12}{bug.within:>8}  {rule:<28}{seconds:>6.1f} s  {bug.breaks}")
            if after is None:
                missed.append(name)
    if missed or not bugs:
        click.echo(f"\nVERDICT: FAILED: not found: {', '.join(missed) or 'no such bug'}")
        return 1
    click.echo(f"\nVERDICT: each of {len(bugs)} deliberate bugs was found within its bound")
    return 0


__all__ = ["BUGS", "Bug", "caught", "pmap", "run_catalogue"]
