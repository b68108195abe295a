"""
The simulation itself, and the schedules that once found something. Thousands more are run by ``tests.simulation.run``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from pyrsistent import pvector

from tests.simulation.broken import Broken
from tests.simulation.catalogue import BUGS, caught, planted
from tests.simulation.chance import Schedule
from tests.simulation.report import read, told, written
from tests.simulation.schedule import Outcome, bury, run
from tests.simulation.shrink import shrunk

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.json"))


def story(outcome: Outcome) -> str:
    """
    All that happened.
    """
    text = told(outcome, everything=True)
    bury(outcome)
    return text


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    """
    A schedule that once broke something breaks nothing any more. All that it consists of still happens: where another
    simulation makes other schedules of the same names, it would prove nothing.
    """
    schedule = read(path)
    outcome = run(schedule)
    text = told(outcome)
    bury(outcome)

    assert outcome.broken is None, f"{outcome.broken}\n{text}"
    assert set(schedule.keep or ()) == set(outcome.world.chance.chosen)


@pytest.mark.parametrize("seed", range(5))
def test_same_seed_same_story(seed: int) -> None:
    """
    A seed decides everything.
    """
    assert story(run(Schedule(seed=seed))) == story(run(Schedule(seed=seed)))


def test_without_faults() -> None:
    """
    A schedule from which everything was left out is a quiet one.
    """
    outcome = run(Schedule(seed=1, keep=pvector()))
    bury(outcome)

    assert (outcome.broken, outcome.figures.counts["faults"]) == (None, 0)


def test_failure_is_shrunk_kept_and_told(tmp_path: Path) -> None:
    """
    Of a schedule that fails a shorter one is found that fails in the same way, can be run again, and tells its story.
    """
    bug = next(bug for bug in BUGS if bug.name == "unmount-in-use")
    path = tmp_path / "kept.json"
    with planted(bug):
        seed = next(seed for seed in range(bug.within) if _fails(seed))
        outcome = run(Schedule(seed=seed))
        smaller, _ = shrunk(outcome, seconds=20)
        bury(outcome)
        written(smaller, path)
        again = run(read(path))
        text = told(again)
        bury(again)

    assert again.broken is not None
    assert (again.broken.rule, len(smaller.keep or ()) <= len(outcome.world.chance.chosen)) == (smaller.failure, True)
    assert "BROKEN" in text


def _fails(seed: int) -> bool:
    outcome = run(Schedule(seed=seed))
    bury(outcome)
    return isinstance(outcome.broken, Broken)


def test_bugs_are_taken_out_again() -> None:
    """
    What is planted for a check is gone after it.
    """
    before = [(owner, name, owner.__dict__[name]) for bug in BUGS for owner, name, _ in bug.changes()]
    for bug in BUGS:
        with planted(bug):
            pass

    assert [(owner, name, owner.__dict__[name]) for owner, name, _ in before] == before


def test_a_bug_is_caught() -> None:
    """
    One of the catalogue, as a sample; all of them take a minute.
    """
    after, rule, _ = caught(next(bug for bug in BUGS if bug.name == "mount-old-epoch"))

    assert (after is not None, rule) == (True, "taken up again")
