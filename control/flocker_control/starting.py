"""
Whether the application starts where its datasets were moved to, and whether they go back if it doesn't.

An application has started once it is seen to run on the target and still does so ``PROOF_SECONDS`` later, or has run to
its end with status 0; one with a check of its health has also to be well by then. It has failed to start if its node
could not start it ``ATTEMPTS`` times in a row, if it ended otherwise and nobody starts it again, if its restart policy
had to start it again ``ATTEMPTS`` times meanwhile, or if its check says that it is not well, or says nothing for longer
than it may take. Anything else may still become either.

============  ==================================  ==================================================================
move          waits for health                    if the application isn't well
============  ==================================  ==================================================================
planned       yes                                 it goes back, or stays and says why: ``on_start_failure``
failover      yes                                 it stays and says why: nothing could go back
way back      no: it ends once the application    nothing: where it came from it is as well as it was, and going
              runs                                back from there again would never end
============  ==================================  ==================================================================

What becomes of an application's health after its move is over undoes nothing.

All datasets of a container go back together, or none does: what one of them alone would do is no use to anybody.
"""

from __future__ import annotations

from flocker_control.health import is_checked, is_unwell, longest_starting_seconds
from flocker_control.situation import Situation, has_run, is_proven, node_name, phase
from flocker_py.model import Container, Move, MovePhase, NodeId, Ownership, RestartName, StartFailurePolicy
from flocker_py.observed import ContainerObservation, ContainerPhase, Health, NodeObservation
from flocker_py.sentences import listed
from flocker_py.storage import Role

ATTEMPTS = 3
PROOF_SECONDS = 2.0
"""
How long an application has to run on the target before the source's copy is removed. It is no part of the downtime.
"""


def is_wanted_here(s: Situation) -> bool:
    """
    Whether nobody wants the dataset anywhere else than where it is, or where it was sent back from.
    """
    return not s.dataset.deleted and s.dataset.primary in (s.ownership.owner, s.ownership.refused_primary)


def policy(s: Situation) -> StartFailurePolicy:
    """
    What holds for all datasets of the container: they go back if all policies say so.
    """
    policies = {s.dataset.on_start_failure, *(other.on_start_failure for other in s.companion_policies.values())}
    return StartFailurePolicy.STAY if StartFailurePolicy.STAY in policies else StartFailurePolicy.GO_BACK


def must_be_proven(s: Situation) -> bool:
    """
    Whether the present move ends only when its application has proven to run, because it could still go back.
    """
    move = s.ownership.move
    return (
        move is not None
        and move.phase is MovePhase.TAKING
        and not move.returns
        and not move.failover
        and move.source in s.ownership.handed_over
        and bool(s.containers)
        and policy(s) is StartFailurePolicy.GO_BACK
    )


def waits_for_health(s: Situation) -> bool:
    """
    Whether the present move ends only when its application is well, because somebody asks it how it is.
    """
    move, node = s.ownership.move, s.nodes.get(s.ownership.owner)
    if move is None or move.phase is not MovePhase.TAKING or move.returns or node is None:
        return False
    seen = ((container, node.containers.get(container.name)) for container in s.containers)
    return any(one is not None and is_checked(container, one) for container, one in seen)


def unwell(s: Situation) -> tuple[Container, ...]:
    """
    Containers that the present move waits for since their checks don't, or don't yet, find them well.
    """
    node = s.nodes.get(s.ownership.owner)
    if node is None or not waits_for_health(s):
        return ()
    return tuple(c for c in s.containers if has_run(node, c) and is_unwell(c, node.containers[c.name]))


def failure(s: Situation) -> str | None:
    """
    Why the application doesn't start on the dataset's owner, for people; None: it does, or may still.
    """
    node = s.nodes.get(s.ownership.owner)
    found = () if node is None else (_container_failure(s, node, container) for container in s.containers)
    where = f"on node {node_name(s, s.ownership.owner)}"
    return next((f"{what} {where}: {text}" for what, text in filter(None, found)), None)


def _container_failure(s: Situation, node: NodeObservation, container: Container) -> tuple[str, str] | None:
    seen, error = node.containers.get(container.name), node.failures.get(container.name)
    what = f"container {container.name} doesn't start"
    ended = seen is None or seen.phase is ContainerPhase.EXITED
    if ended and error is not None and error.attempts >= ATTEMPTS:
        return what, error.text
    if seen is None:
        return None
    if ended and seen.exit_status != 0 and not _is_started_again(container, seen):
        return what, f"it {_end_text(seen.exit_status)}"
    if seen.restarts >= ATTEMPTS:
        return what, f"it ended, and was started again, {seen.restarts} times"
    return _health_failure(s, container, seen)


def _health_failure(s: Situation, container: Container, seen: ContainerObservation) -> tuple[str, str] | None:
    if seen.phase is ContainerPhase.EXITED or container not in unwell(s):
        return None
    what = f"container {container.name} doesn't become healthy"
    if seen.health is Health.UNHEALTHY:
        return what, "its check says that it is unhealthy"
    if _time_to_become_well_seconds(s, container) <= 0:
        longest_seconds = longest_starting_seconds(container.health)
        return what, f"its check has found it neither healthy nor unhealthy within {longest_seconds:g} s"
    return None


def _time_to_become_well_seconds(s: Situation, container: Container) -> float:
    """
    How long a check may yet take; 0 or less: it has taken too long.
    """
    move = s.ownership.move
    longest_seconds = longest_starting_seconds(container.health)
    if move is None or move.running_since_seconds is None:
        return longest_seconds
    # Of this clock, not of the node's: they may differ. If this one was set back, the verdict of the check itself comes
    # first.
    return move.running_since_seconds + longest_seconds - s.now_seconds


def _is_started_again(container: Container, seen: ContainerObservation) -> bool:
    # By the agent, after a reboot of its host or the end of the supervisor; see flocker_agent.plan.
    if container.restart.name is RestartName.ON_FAILURE:
        return seen.exit_status is None
    return container.restart.name is RestartName.ALWAYS


def _end_text(exit_status: int | None) -> str:
    if exit_status is None:
        return "ended in a way that nobody saw"
    return f"was ended by signal {-exit_status}" if exit_status < 0 else f"ended with status {exit_status}"


def is_running(s: Situation) -> bool:
    """
    Whether all containers run on the dataset's owner, or have run to their end there as they should.
    """
    node = s.nodes.get(s.ownership.owner)
    return node is not None and all(has_run(node, c) and _has_not_failed(node, c) for c in s.containers)


def _has_not_failed(node: NodeObservation, container: Container) -> bool:
    seen = node.containers[container.name]
    return seen.phase is ContainerPhase.RUNNING or seen.exit_status == 0


def restarts(s: Situation) -> int:
    """
    How often the containers were started again where they are now.
    """
    node = s.nodes.get(s.ownership.owner)
    seen = () if node is None else (node.containers.get(container.name) for container in s.containers)
    return sum(one.restarts for one in seen if one is not None)


def has_started(s: Situation) -> bool:
    """
    Whether the application is seen to run on the target, and that is new, or newer than its last end. Its check may
    still find it well, or not.
    """
    move = s.ownership.move
    return (
        move is not None
        and (must_be_proven(s) or waits_for_health(s))
        and is_wanted_here(s)
        and is_proven(s)
        and is_running(s)
        and (move.running_since_seconds is None or move.restarts != restarts(s))
    )


def proof_left_seconds(s: Situation) -> float:
    """
    How long the application of the present move still has to run; 0: it has proven itself.
    """
    move = s.ownership.move
    if move is None or move.running_since_seconds is None or not must_be_proven(s):
        return 0.0
    left_seconds = move.running_since_seconds + PROOF_SECONDS - s.now_seconds
    # Of a clock that was set back nobody should have to wait for long.
    return left_seconds if 0 < left_seconds <= PROOF_SECONDS else 0.0


def left_seconds(s: Situation) -> float:
    """
    How long until it has to be looked at again whether the application has proven itself, or takes too long to become
    well; 0: nothing of that is waited for.
    """
    times = (_time_to_become_well_seconds(s, container) for container in unwell(s))
    return min((seconds for seconds in (proof_left_seconds(s), *times) if seconds > 0), default=0.0)


def is_started(s: Situation) -> bool:
    """
    Whether the application has proven to run where it is, as far as that has to be proven.
    """
    move = s.ownership.move
    node = s.nodes.get(s.ownership.owner)
    if move is None or node is None or unwell(s):
        return False
    if not must_be_proven(s):
        return all(has_run(node, container) for container in s.containers)
    return is_running(s) and move.running_since_seconds is not None and proof_left_seconds(s) == 0


def is_taken(s: Situation) -> bool:
    """
    Whether the present move has reached its end.
    """
    if phase(s) is not MovePhase.TAKING or not is_proven(s):
        return False
    # A container that doesn't start must not keep the operator from moving the dataset elsewhere.
    return is_started(s) or not is_wanted_here(s)


def goes_back(s: Situation) -> bool:
    """
    Whether the dataset should return to the source of its move, which still has all of it but what was written since.
    """
    return must_be_proven(s) and is_wanted_here(s) and is_proven(s) and _why(s) is not None and in_the_way(s) is None


def reason(s: Situation) -> str:
    """
    Why the dataset goes back, for people.
    """
    return _why(s) or ""


def _why(s: Situation) -> str | None:
    move = s.ownership.move
    gone = (o.last_move for o in s.companions if move is not None and _went_back(o, move))
    return failure(s) or next((last.reason for last in gone if last is not None), None)


def in_the_way(s: Situation) -> str | None:
    """
    What the return from the present move waits for, for people; None: nothing.
    """
    move = s.ownership.move
    if move is None:
        return None
    if move.source not in s.nodes:
        return f"node {node_name(s, move.source)}, which holds the copy to go back to, to be connected"
    if not _holds_last_copy(s, move.source):
        return f"somebody to repair it, since the copy on node {node_name(s, move.source)} is not as it was handed over"
    others = [o.dataset_id for o in s.companions if not _went_back(o, move) and not _came_along(o, move)]
    return f"somebody to repair it, since {listed('dataset', others)} can't go back with it" if others else None


def _holds_last_copy(s: Situation, node_id: NodeId) -> bool:
    seen = s.seen(node_id)
    return seen is not None and seen.role is Role.RELEASED and seen.newest_guid == s.ownership.handed_over.get(node_id)


def _came_along(other: Ownership, move: Move) -> bool:
    theirs = other.move
    return (
        theirs is not None
        and theirs.phase is MovePhase.TAKING
        and (theirs.source, theirs.target) == (move.source, move.target)
    )


def _went_back(other: Ownership, move: Move) -> bool:
    if other.move is None:
        return other.owner == move.source and other.refused_primary == move.target
    return other.move.returns and (other.move.source, other.move.target) == (move.target, move.source)


def waits_for(s: Situation) -> str | None:
    """
    What the present move waits for because its application doesn't start, for people.
    """
    move = s.ownership.move
    why = failure(s)
    if move is None or move.phase is not MovePhase.TAKING or why is None:
        return None
    if move.returns:
        return f"somebody to repair it: {why}, and it had failed on node {node_name(s, move.source)} before"
    if policy(s) is StartFailurePolicy.STAY:
        return f"somebody to repair it or move it elsewhere, since by its volume's on_start_failure it stays: {why}"
    if not must_be_proven(s):
        return f"somebody to repair it, since there is no copy to go back to: {why}"
    return f"{in_the_way(s) or f'its way back to node {node_name(s, move.source)}'}: {why}"
