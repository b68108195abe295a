"""
The processes of this host as ``/proc`` tells of them.

A process is known by its id *and* the clock ticks at which it started, as ids are used again. Loaded by every
supervisor: it imports only ``os``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

ZOMBIE = "Z"
SUSPENDED = ("T", "t")


class ProcessEntry:
    """
    One process.

    :param parent: its parent's id.
    :param ticks: when it started, in clock ticks since the host's boot.
    :param state: one letter, see proc(5).
    """

    __slots__ = ("parent", "state", "ticks")

    def __init__(self, *, parent: int, ticks: int, state: str) -> None:
        self.parent = parent
        self.ticks = ticks
        self.state = state


def entry_from_stat(stat: str) -> ProcessEntry:
    """
    The process that a line of ``/proc/PID/stat`` is about. The command in it is chosen by the process, and may contain
    anything, parentheses and line ends too.
    """
    fields = stat.rpartition(")")[2].split()
    # proc(5) counts from 1, and the first field here is its third.
    return ProcessEntry(state=fields[0], parent=int(fields[1]), ticks=int(fields[19]))


def process_entry(pid: int) -> ProcessEntry | None:
    """
    The process of this id, zombies included; None: there is none.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # pathlib is slow to load
            return entry_from_stat(file.read())
    except (FileNotFoundError, ProcessLookupError):
        return None


def process_table() -> dict[int, ProcessEntry]:
    """
    All processes that this one may see, by id.
    """
    found = ((int(name), process_entry(int(name))) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208
    return {pid: entry for pid, entry in found if entry is not None}


def descendants(table: Mapping[int, ProcessEntry], ancestor: int) -> dict[int, ProcessEntry]:
    """
    Those of a table's processes that come from this one, itself and zombies left out.
    """
    children: dict[int, list[int]] = {}
    for pid, entry in table.items():
        children.setdefault(entry.parent, []).append(pid)
    found: dict[int, ProcessEntry] = {}
    unseen = [ancestor]
    while unseen:
        for pid in children.get(unseen.pop(), ()):
            unseen.append(pid)
            if table[pid].state != ZOMBIE:
                found[pid] = table[pid]
    return found


def boot_id() -> str:
    """
    What names the present boot of this host.
    """
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123
        return file.read().strip()
