"""
One schedule, from the cluster's start to its rest.
"""

from __future__ import annotations

import gc

from flocker_py.records import Record, value
from tests.simulation import logs
from tests.simulation.broken import Broken
from tests.simulation.chance import Schedule
from tests.simulation.figures import LEAST_OPPORTUNITIES, Figures
from tests.simulation.rest import not_at_rest
from tests.simulation.world import World

logs.into_the_story()

CALM_STEPS = 25
"""Before anything goes wrong: agents that never reached the control service are no cluster yet."""
LONGEST_SETTLING_SECONDS = 900.0
MOST_STEPS = 20_000


class Outcome(Record):
    """
    How a schedule ended.

    :param broken: None: all was well.
    """

    schedule: Schedule = value(Schedule)
    broken: Broken | None = value((Broken, type(None)), default=None)
    figures: Figures = value(Figures)
    world: World = value(World)


def run(schedule: Schedule) -> Outcome:
    """
    Run it.
    """
    world = World(schedule)
    broken = None
    try:
        _go_through(world, schedule)
    except Broken as error:
        broken = error
    figures = world.figures
    figures.counts.update(
        {
            "schedules": 1,
            "steps": world.steps,
            "fault opportunities": world.chance.opportunities,
            "faults": world.chance.faults.total(),
            "commands of users": world.commands,
            "records written": world.records,
        }
    )
    figures.faults.update(world.chance.faults)
    figures.least_opportunities = world.chance.opportunities
    return Outcome(schedule=schedule, broken=broken, figures=figures, world=world)


def _go_through(world: World, schedule: Schedule) -> None:
    # Half of all schedules disturb a cluster that serves already, so that more of their faults hit moves; and all
    # of those where it has to have leases already.
    warm = world.fencing or world.chance.draw("warm") < 0.5
    while not _serves(world) if warm else world.steps < CALM_STEPS:
        world.step()
        world.operators.begin()
        if world.steps > MOST_STEPS:
            world.breaks(Broken("stuck", "a cluster without faults does not begin to serve"))
    world.chance.faults_on = True
    last = world.steps + schedule.steps
    while world.steps < last or (schedule.keep is None and world.chance.opportunities < LEAST_OPPORTUNITIES):
        world.operators.ask()
        if world.step() is None or world.steps > MOST_STEPS:
            break
    world.chance.faults_on = False
    world.network.heal()
    for node in world.nodes.values():
        node.bad_links.clear()
    world.tell("faults end")
    _settle(world)


def _serves(world: World) -> bool:
    checker = world.checker
    return (
        bool(checker.ownerships)
        and all(own.created for own in checker.ownerships.values())
        and len(checker.running) == len(checker.containers)
    )


def _settle(world: World) -> None:
    """
    :raises Broken: the cluster does not come to rest, or rests as it should not.
    """
    deadline = world.scheduler.now + LONGEST_SETTLING_SECONDS
    most_steps = world.steps + MOST_STEPS
    while world.scheduler.now < deadline and world.steps < most_steps:
        if not world.operators.begin():
            world.step()
            continue
        if not world.scheduler.at_work() and next(not_at_rest(world), None) is None:
            for application in world.checker.running.values():
                application.write()
            return
        world.step()
    complaints = [*not_at_rest(world)] or [("the cluster", "has not come to rest")]
    about = tuple(name for name, _ in complaints)
    text = "; ".join(f"{name} {text}" for name, text in complaints)
    world.breaks(Broken("stuck", logs.readable(text), about))


def bury(outcome: Outcome) -> None:
    """
    Let go of a world: what was collected of it later would happen to another.
    """
    world = outcome.world
    logs.world = None
    world.buried.clear()
    world.always.alive = False
    gc.collect(1)
