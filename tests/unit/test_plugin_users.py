"""
Who has which volume mounted.
"""

from __future__ import annotations

from uuid import UUID

import pytest
from pyrsistent import pmap

from flocker_agent.plugin.users import (
    MountedVolumes,
    callers,
    forgotten,
    in_era,
    releasing,
    unseen_since,
    unused,
    with_caller,
    without_caller,
    without_callers,
    without_volume,
)
from flocker_py.model import DatasetId

ERA, LATER = UUID(int=1), UUID(int=2)
PG, OTHER = DatasetId(UUID(int=3)), DatasetId(UUID(int=4))
NOBODY = MountedVolumes(era=ERA)


def mounted(*names: str, volume: str = "pg") -> MountedVolumes:
    known = NOBODY
    for name in names:
        known = with_caller(known, volume, PG, name, releases=True)
    return known


def test_counted() -> None:
    """
    A volume is in use until the last of its callers unmounts it, in whatever order.
    """
    known = mounted("b", "a", "a")
    one = without_caller(known, "pg", "b")
    none = without_caller(one, "pg", "a")

    assert (["a", "b"], ["a"], ["pg"]) == (
        list(callers(known, "pg")),
        list(callers(one, "pg")),
        list(unused(none)),
    )
    assert ((), ()) == (unused(known), unused(one))


@pytest.mark.parametrize(("volume", "caller"), [("pg", "b"), ("other", "a")])
def test_unknown_caller(volume: str, caller: str) -> None:
    """
    Unmounting what one hasn't changes nothing.
    """
    assert mounted("a") == without_caller(mounted("a"), volume, caller)


def test_none() -> None:
    """
    What was never mounted is used by nobody.
    """
    assert [] == list(callers(NOBODY, "pg"))


def test_released() -> None:
    """
    A volume that was released is remembered no more, and doing it again is harmless.
    """
    once = without_volume(mounted("a"), "pg")

    assert (NOBODY, NOBODY) == (once, without_volume(once, "pg"))


def test_another_of_the_name() -> None:
    """
    A new dataset of an old name has none of its callers.
    """
    known = with_caller(mounted("a"), "pg", OTHER, "b", releases=False)

    assert (OTHER, ["b"], False) == (
        known.volumes["pg"].dataset_id,
        list(known.volumes["pg"].callers),
        known.volumes["pg"].releases,
    )


def test_whose_lease() -> None:
    """
    A lease that was somebody else's is the plugin's to release once it has taken it; another caller changes nothing.
    """
    before = with_caller(NOBODY, "pg", PG, "a", releases=False)
    after = with_caller(releasing(before, "pg"), "pg", PG, "b", releases=False)

    assert (False, True) == (before.volumes["pg"].releases, after.volumes["pg"].releases)


def test_another_boot() -> None:
    """
    After a boot of the host nothing is mounted by anybody, and all is to be released.
    """
    known = in_era(mounted("a", "b"), LATER)

    assert (LATER, ("pg",)) == (known.era, unused(known))


def test_same_boot() -> None:
    """
    In the same boot all is as it was.
    """
    assert mounted("a") == in_era(mounted("a"), ERA)


def test_let_go() -> None:
    """
    What Docker has forgotten is mounted by nobody.
    """
    assert ("pg",) == unused(without_callers(mounted("a", "b"), "pg"))


class TestForgotten:
    """
    What no container has been seen to use for long enough.
    """

    def test_seen(self) -> None:
        """
        What is seen in use isn't forgotten, and neither is what nobody has.
        """
        known = mounted("a").set(volumes=mounted("a").volumes.set("web", mounted().volumes.get("web", _unused())))

        assert {} == unseen_since(known, {"pg"}, {"pg": 1.0}, 5.0)

    def test_not_seen(self) -> None:
        """
        What isn't seen, isn't since the first look that missed it.
        """
        first = unseen_since(mounted("a"), frozenset(), {}, 5.0)
        second = unseen_since(mounted("a"), {"other"}, first, 9.0)

        assert ({"pg": 5.0}, {"pg": 5.0}) == (first, second)

    def test_nobody_can_tell(self) -> None:
        """
        That Docker can't be asked says nothing, and the time begins anew.
        """
        assert {} == unseen_since(mounted("a"), None, {"pg": 1.0}, 100.0)

    def test_long_enough(self) -> None:
        """
        It is let go when it has been missed for long enough.
        """
        since = {"pg": 10.0, "web": 50.0}

        assert ((), ("pg",), ("pg", "web")) == tuple(forgotten(since, now, 60.0) for now in (69.0, 70.0, 110.0))


def _unused() -> object:
    return without_callers(mounted("a"), "pg").volumes["pg"]


def test_empty_map() -> None:
    """
    Nothing is remembered at first.
    """
    assert pmap() == NOBODY.volumes
