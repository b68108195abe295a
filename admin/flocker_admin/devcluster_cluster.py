"""
A local cluster brought up, looked at, and taken down. What is asked for and is so already, stays as it is.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec

from flocker_admin.devcluster_api import ControlSilent, connected_nodes
from flocker_admin.devcluster_files import ClusterMissing, locked, read_cluster, remove_files, write_cluster
from flocker_admin.devcluster_layout import (
    CONTROL,
    DEPLOYMENT_FILE,
    POOL_FILE,
    SETTINGS_FILE,
    DevCluster,
    agent_arguments,
    control_arguments,
)
from flocker_admin.devcluster_making import Say, Wishes, grown, new_cluster
from flocker_admin.devcluster_ports import turn, with_free_ports
from flocker_admin.devcluster_processes import Program
from flocker_admin.devcluster_runtime import forget_runtime
from flocker_admin.devcluster_storage import (
    destroy_pool,
    export_pool,
    import_pool,
    make_pool,
    unmount_below,
)
from flocker_py.errors import FlockerError, explanation
from flocker_py.records import Record, value

P = ParamSpec("P")
_NONE = type(None)
_LOOK_SECONDS = 0.05
_GRACE_SECONDS = 15.0
_CONTAINERS_TIMEOUT_SECONDS = 120.0


class StartFailed(FlockerError):
    """
    A program of the cluster did not start, or not in time. What it said last is in the message; its log has more.
    """


class NameUnknown(FlockerError):
    """
    The cluster has no program of that name.
    """

    lasting = True


class NotTakenDown(FlockerError):
    """
    Part of the cluster could not be ended. Correct what the message names, and run flocker-devcluster down again.
    """


class ProgramStatus(Record):
    """
    One program of a cluster as it is now.

    :param pid: None: it is not running.
    :param connected: for an agent, whether the control service hears it; for the control service, whether it answers.
    """

    name: str = value(str)
    address: str = value(str)
    pid: int | None = value((int, _NONE), default=None)
    connected: bool = value(bool, default=False)


def programs(cluster: DevCluster, folder: Path) -> dict[str, Program]:
    """
    The programs of a cluster by name, the control service first.
    """
    control = Program(CONTROL, "flocker_control.main", control_arguments(cluster, folder / CONTROL), folder / CONTROL)
    agents = {
        node.name: Program(node.name, "flocker_agent.main", agent_arguments(folder / node.name), folder / node.name)
        for node in cluster.nodes
    }
    return {CONTROL: control, **agents}


def bring_up(folder: Path, wishes: Wishes, *, say: Say, timeout_seconds: float) -> DevCluster:
    """
    Make the cluster if there is none, start what is not running, and wait until all agents are connected.

    :param folder: the cluster's, absolute.
    :param say: is told about the progress, a line at a time.
    :raises FlockerError: which of them tells what to do; run again, it goes on from there.
    """
    added: list[str] = []
    with locked(folder):
        try:
            present = read_cluster(folder)
            cluster = grown(present, wishes)
            added = [f"{node.name}: {{uuid: {node.node_id}}}" for node in cluster.nodes[len(present.nodes) :]]
        except ClusterMissing:
            cluster = new_cluster(wishes, say)
        with turn(timeout_seconds=timeout_seconds):
            if not any(program.pid for program in programs(cluster, folder).values()):
                placed = with_free_ports(cluster)
                if placed.port != cluster.port:
                    say(f"port {cluster.port} or one beside it is taken: the cluster begins at {placed.port}")
                cluster = placed
            write_cluster(cluster, folder)
            _open_pools(cluster, folder, wishes.pool_bytes, say)
            _start(cluster, folder, say, time.monotonic() + timeout_seconds)
    if added:
        say(f"to name what is new, add to nodes in {folder / DEPLOYMENT_FILE}: {', '.join(added)}")
    return cluster


def take_down(folder: Path, *, destroy: bool, say: Say) -> None:
    """
    End a cluster's programs and the applications on its nodes. Its volumes stay, unless they are to be destroyed.

    :raises ClusterMissing: there is none.
    :raises NotTakenDown: something could not be ended; all else is.
    """
    read_cluster(folder)
    with locked(folder):
        cluster = read_cluster(folder)
        complaints: list[str] = []
        for program in reversed(programs(cluster, folder).values()):
            _try(complaints, _end, program, say)
        for node in cluster.nodes:
            _try(complaints, _end_containers, folder / node.name)
            _try(complaints, unmount_below, folder / node.name)
            if node.pool is not None and node.pool_is_ours:
                _try(complaints, destroy_pool if destroy else export_pool, node.pool)
        if destroy:
            _try(complaints, forget_runtime, cluster)
        if complaints:
            raise NotTakenDown("; ".join(complaints))
        if destroy:
            remove_files(cluster, folder)
            say(f"removed all that was in {folder}")
            for pool in [node.pool for node in cluster.nodes if node.pool is not None and not node.pool_is_ours]:
                say(f"what the cluster kept in pool {pool} is left: zfs destroy -r {pool}/flocker removes it")


def start_program(folder: Path, name: str, *, say: Say, timeout_seconds: float) -> None:
    """
    Start one program of a cluster, and wait until it is connected.

    :raises NameUnknown: there is no such program.
    :raises StartFailed: it doesn't come to that.
    """
    with locked(folder):
        cluster = read_cluster(folder)
        program = _named(cluster, folder, name)
        if not program.start():
            say(f"{name} is running already")
        _await(cluster, folder, [name], time.monotonic() + timeout_seconds)
        say(f"{name}: process {program.pid}, connected")


def end_program(folder: Path, name: str, *, kill: bool, say: Say) -> None:
    """
    End one program of a cluster; what runs on its node goes on.

    :param kill: at once and without a word, as a crash would.
    :raises NameUnknown: there is no such program.
    """
    with locked(folder):
        program = _named(read_cluster(folder), folder, name)
        was_running = program.end(grace_seconds=0.0 if kill else _GRACE_SECONDS)
        say(f"{name}: {'killed' if kill else 'ended'}" if was_running else f"{name} was not running")


def statuses(cluster: DevCluster, folder: Path) -> list[ProgramStatus]:
    """
    How each program of a cluster is, the control service first.
    """
    try:
        connected = connected_nodes(cluster, folder)
        answers = True
    except ControlSilent:
        connected, answers = set(), False
    running = programs(cluster, folder)
    return [
        ProgramStatus(name=CONTROL, address=cluster.control, pid=running[CONTROL].pid, connected=answers),
        *(
            ProgramStatus(
                name=node.name,
                address=f"{node.address}:{cluster.transfer_port}",
                pid=running[node.name].pid,
                connected=str(node.node_id) in connected,
            )
            for node in cluster.nodes
        ),
    ]


def _open_pools(cluster: DevCluster, folder: Path, size_bytes: int, say: Say) -> None:
    for node in cluster.nodes:
        if node.pool is None or not node.pool_is_ours:
            continue
        image = folder / node.name / POOL_FILE
        if image.exists():
            import_pool(node.pool, image)
        else:
            say(f"{node.name}: making the ZFS pool {node.pool} on a file")
            make_pool(node.pool, image, size_bytes)


def _start(cluster: DevCluster, folder: Path, say: Say, deadline: float) -> None:
    everything = programs(cluster, folder)
    started = [name for name in [CONTROL] if everything[name].start()]
    # Agents that find nobody wait before they try again: first the one, then the others.
    _await(cluster, folder, [CONTROL], deadline)
    started += [node.name for node in cluster.nodes if everything[node.name].start()]
    if started:
        say(f"started {', '.join(started)}; waiting until all agents are connected")
    _await(cluster, folder, cluster.program_names, deadline)
    say(f"all {len(cluster.nodes)} agents are connected")


def _await(cluster: DevCluster, folder: Path, names: Sequence[str], deadline: float) -> None:
    """
    Wait until the control service answers and hears these agents.
    """
    running = programs(cluster, folder)
    wanted = {str(node.node_id): node.name for node in cluster.nodes if node.name in names}
    silence: ControlSilent | None = None
    while True:
        for name in names:
            if running[name].pid is None:
                words = running[name].last_words(10)
                raise StartFailed(f"{name} has ended (see {running[name].log_path}): {words or 'without a word'}")
        try:
            missing = set(wanted) - connected_nodes(cluster, folder)
            if not missing:
                return
            silence = None
        except ControlSilent as silent:
            missing, silence = set(wanted), silent
        if time.monotonic() > deadline:
            who = CONTROL if silence else ", ".join(sorted(wanted[node_id] for node_id in missing))
            words = running[CONTROL if silence else min(wanted[node_id] for node_id in missing)].last_words(5)
            raise StartFailed(f"{who}: not connected in time ({silence or 'the agent is running'}): {words}")
        time.sleep(_LOOK_SECONDS)


def _named(cluster: DevCluster, folder: Path, name: str) -> Program:
    try:
        return programs(cluster, folder)[name]
    except KeyError:
        raise NameUnknown(f"{name!r}; there are {', '.join(cluster.program_names)}") from None


def _try(complaints: list[str], attempt: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    try:
        attempt(*args, **kwargs)
    except (FlockerError, OSError) as error:
        complaints.append(explanation(error))


def _end(program: Program, say: Say) -> None:
    if program.end(grace_seconds=_GRACE_SECONDS):
        say(f"{program.name}: ended")


def _end_containers(folder: Path) -> None:
    settings_path = folder / SETTINGS_FILE
    if not settings_path.exists():
        return
    # The agent's own code, in a process of its own: programs share nothing but flocker_py.
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "flocker_agent.runtime.end_containers", str(settings_path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            timeout=_CONTAINERS_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise NotTakenDown(f"applications of {folder} do not end") from None
    if done.returncode != 0:
        raise NotTakenDown(f"applications of {folder}: {done.stderr.strip()}")
