"""
A failure for people: what broke, how little it takes, and how it came about.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from pyrsistent import pvector

from tests.simulation import logs
from tests.simulation.chance import Schedule
from tests.simulation.schedule import Outcome

_ALWAYS = re.compile(r"dies|parts|BROKEN|faults end|starts$|loses power|is killed|control")


def told(outcome: Outcome, *, everything: bool = False) -> str:
    """
    How it came about: only what touches the datasets and containers concerned, and what befell whole processes.
    """
    broken, world = outcome.broken, outcome.world
    names = set() if broken is None else set(broken.about)
    for container in [a.container for a in world.checker.running.values()]:
        called = {world.called(m.dataset_id) for m in container.mounts}
        if called & names:
            names.add(container.name)
    pattern = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in sorted(names))) if names else None
    lines = []
    for step, now, what in world.story:
        text = what if isinstance(what, str) else f"{what[0]} {logs.readable(what[1])}"
        if everything or pattern is None or pattern.search(text) or _ALWAYS.search(text):
            lines.append(f"{step:6d} {now:10.3f} s  {text[:400]}")
    return "\n".join(lines)


def written(schedule: Schedule, path: Path, notes: str = "") -> None:
    """
    Keep a schedule, to be run again.
    """
    content = {
        "seed": schedule.seed,
        "steps": schedule.steps,
        "calm": schedule.calm,
        "nodes": schedule.nodes,
        "keep": None if schedule.keep is None else list(schedule.keep),
        "failure": schedule.failure,
        "notes": notes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def read(path: Path) -> Schedule:
    """
    A schedule that was kept.
    """
    content = json.loads(path.read_text())
    keep = content["keep"]
    return Schedule(
        seed=content["seed"],
        steps=content["steps"],
        calm=content["calm"],
        nodes=content["nodes"],
        keep=None if keep is None else pvector(keep),
        failure=content["failure"],
    )
