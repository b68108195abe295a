"""
Moves over networks that cut, damage, delay and hold back what they carry.

Each begins with a seed, and the same seed asks for the same. Whatever comes, the move gets to its end without help, the
application's acknowledged records are all there, and nothing is left over.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator

import pytest

from tests.integration.loopback import addresses
from tests.relay import Failing, Fault, Relay, Way, random_fault
from tests.relayed import RelayedCluster, relayed_worlds
from tests.worlds import BALLAST_BYTES, NODES, World, Worlds

LONG = os.environ.get("FLOCKER_FAULTS") == "all"
SEEDS = range(200 if LONG else 3)
# Of a session with control: greeting, assignments, reports and pings of one move.
LINK_BYTES = {Way.THERE: 12_000, Way.BACK: 8_000}
TRANSFER_BYTES = {Way.THERE: BALLAST_BYTES + (64 << 10), Way.BACK: 6_000}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    worlds = relayed_worlds(lambda: tmp_path_factory.mktemp("cluster"), lambda: addresses(*NODES))
    yield worlds
    worlds.leave()


def relayed(world: World) -> RelayedCluster:
    """
    The world's cluster, with its relays.
    """
    assert isinstance(world.cluster, RelayedCluster)
    return world.cluster


def moved(worlds: Worlds, world: World) -> None:
    """
    The application goes to the other node, and all that should hold does.
    """
    target = world.other
    try:
        world.deploy(target)
        world.check(target)
    except BaseException as error:
        worlds.leave(error)
        raise
    finally:
        world.cluster.heal()
        world.cluster.delay(0)


def faults(chance: random.Random, sizes: dict[Way, int]) -> list[list[Fault]]:
    """
    What befalls the next connections of one way.
    """
    return [[random_fault(chance, sizes)] for _ in range(chance.randint(1, 4))]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_transfers_cut_and_damaged(worlds: Worlds, seed: int) -> None:
    """
    Transfers break, fall silent, and are damaged at random bytes, several times in a row.
    """
    world = worlds.enter()
    relayed(world).ports[world.other].plan(*faults(random.Random(seed), TRANSFER_BYTES))

    moved(worlds, world)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_links_cut_and_damaged(worlds: Worlds, seed: int) -> None:
    """
    So do the nodes' sessions with the control service.
    """
    world = worlds.enter()
    chance = random.Random(seed)
    for link in relayed(world).links.values():
        link.plan(*faults(chance, LINK_BYTES))
        link.cut()

    moved(worlds, world)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_far_away_and_by_fits_and_starts(worlds: Worlds, seed: int) -> None:
    """
    Everything takes 200 ms each way, and the network stands still again and again, here and there.
    """
    world = worlds.enter()
    world.cluster.delay(0.2)
    over = threading.Event()
    jerks = threading.Thread(target=jerk, args=(random.Random(seed), relayed(world).relays, over), daemon=True)
    jerks.start()
    try:
        moved(worlds, world)
    finally:
        over.set()
        jerks.join()
        world.cluster.heal()


def jerk(chance: random.Random, relays: list[Relay], over: threading.Event) -> None:
    """
    Hold something back for a moment, again and again.
    """
    while not over.wait(chance.uniform(0.1, 0.6)):
        relay = chance.choice(relays)
        relay.hold(chance.choice([[Way.THERE], [Way.BACK], list(Way)]))
        over.wait(chance.uniform(0.1, 1.0))
        relay.heal()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_session_that_falls_silent(worlds: Worlds, node: str) -> None:
    """
    A session over which nothing comes any more is given up by both ends, and a new one is begun.
    """
    world = worlds.enter()
    cluster, link = world.cluster, relayed(world).links[node]
    # In the greeting, or among the pings that follow.
    link.plan([Fault(Way.THERE, 4000, Failing.SILENT)])
    link.cut()
    cluster.wait(lambda: link.carried[-1].failed)
    silent = link.carried[-1]
    cluster.wait(lambda: link.carried[-1] is not silent and link.carried[-1].bytes[Way.BACK] > 0)

    moved(worlds, world)
