"""
What every store promises.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyrsistent import pmap, pvector
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList

from flocker_control.memory_store import MemoryStore
from flocker_control.sqlite_store import open_store
from flocker_control.store import Commit, HistoryGone, Loaded, RevisionConflict, Store
from flocker_py.testing.reactor_thread import in_reactor

HISTORY_COMMITS = 5


async def memory(_: Path) -> Store:
    return MemoryStore(history_commits=HISTORY_COMMITS)


async def sqlite(directory: Path) -> Store:
    return await open_store(reactor, directory / "data", history_commits=HISTORY_COMMITS)


@pytest.fixture(params=[memory, sqlite], ids=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    make: Callable[[Path], Coroutine[Any, Any, Store]] = request.param
    opened = in_reactor(lambda: make(tmp_path))
    yield opened
    in_reactor(opened.close)


def filled(store: Store, commits: int) -> Store:
    """
    A store with that many commits, each of which wrote its own number under one key.
    """
    for revision in range(commits):
        put(store, revision, {"number": str(revision + 1)})
    return store


def put(store: Store, revision: int, values: dict[str, str]) -> int:
    """
    One commit that puts these values.
    """
    return in_reactor(lambda: store.commit(revision, values, frozenset()))


class TestStore:
    """
    All of these hold for all stores.
    """

    def test_new_store_is_empty(self, store: Store) -> None:
        """
        A new store holds nothing and is at revision 0.
        """
        assert Loaded(revision=0) == in_reactor(store.load)

    def test_revision_grows_by_one(self, store: Store) -> None:
        """
        The answer to a commit is the revision after the one it was made for.
        """
        filled(store, 2)

        assert 3 == put(store, 2, {"a": "1"})

    def test_empty_commit_counts(self, store: Store) -> None:
        """
        A commit that changes nothing has a revision of its own all the same.
        """
        put(store, 0, {})

        assert Loaded(revision=1) == in_reactor(store.load)

    def test_values_are_kept(self, store: Store) -> None:
        """
        What was put is there, text of any kind unchanged.
        """
        values = {"dataset/1": '{"name": "größe \\u0000 \U0001f40b\'\\""}', "container/é%": "2"}
        put(store, 0, values)

        assert Loaded(revision=1, values=pmap(values)) == in_reactor(store.load)

    def test_later_put_replaces(self, store: Store) -> None:
        """
        A key has the value that was put last.
        """
        filled(store, 3)

        assert pmap({"number": "3"}) == in_reactor(store.load).values

    def test_puts_and_deletes_together(self, store: Store) -> None:
        """
        One commit may put and delete, and leaves everything else as it was.
        """
        put(store, 0, {"a": "1", "b": "2"})

        in_reactor(lambda: store.commit(1, {"c": "3"}, {"a"}))

        assert pmap({"b": "2", "c": "3"}) == in_reactor(store.load).values

    def test_deleting_what_is_not_there(self, store: Store) -> None:
        """
        Deleting a key that isn't there is harmless.
        """
        assert 1 == in_reactor(lambda: store.commit(0, {}, {"nothing"}))

    @pytest.mark.parametrize("revision", [0, 1, 3])
    def test_wrong_revision_is_refused(self, store: Store, revision: int) -> None:
        """
        A commit made for another revision than the present one is refused.
        """
        filled(store, 2)

        with pytest.raises(RevisionConflict, match="revision 2"):
            put(store, revision, {"number": "other"})

    def test_refused_commit_changes_nothing(self, store: Store) -> None:
        """
        After a refused commit the store is as it was.
        """
        before = in_reactor(filled(store, 2).load)

        with pytest.raises(RevisionConflict):
            in_reactor(lambda: store.commit(1, {"x": "1"}, {"number"}))

        assert before == in_reactor(store.load)

    def test_of_two_at_once_one_wins(self, store: Store) -> None:
        """
        Of many commits made for one revision at the same time, exactly one is accepted.
        """

        async def race() -> list[bool]:
            tries = [
                Deferred.fromCoroutine(store.commit(0, {"winner": str(number)}, frozenset())) for number in range(8)
            ]
            outcomes = await DeferredList(tries, consumeErrors=True)
            return sorted(success for success, _ in outcomes)

        assert [False] * 7 + [True] == in_reactor(race)

    def test_history(self, store: Store) -> None:
        """
        The commits after a revision are those made since, oldest first, each with what it put and deleted.
        """
        put(store, 0, {"a": "1"})
        put(store, 1, {"b": "2"})
        in_reactor(lambda: store.commit(2, {"c": "3"}, {"b", "a"}))

        expected = pvector(
            [
                Commit(revision=2, puts=pmap({"b": "2"})),
                Commit(revision=3, puts=pmap({"c": "3"}), deletes=pvector(["a", "b"])),
            ]
        )
        assert expected == in_reactor(lambda: store.commits_after(1))

    def test_nothing_after_the_present(self, store: Store) -> None:
        """
        There are no commits after the present revision.
        """
        filled(store, 2)

        assert pvector() == in_reactor(lambda: store.commits_after(2))

    def test_history_reaches_back_a_while(self, store: Store) -> None:
        """
        As many commits are remembered as the store was opened for.
        """
        filled(store, HISTORY_COMMITS + 3)

        assert HISTORY_COMMITS == len(in_reactor(lambda: store.commits_after(3)))

    @pytest.mark.parametrize("revision", [0, 2])
    def test_forgotten_history_says_so(self, store: Store, revision: int) -> None:
        """
        Asking for commits of which some are forgotten is an error, never a part of them.
        """
        filled(store, HISTORY_COMMITS + 3)

        with pytest.raises(HistoryGone):
            in_reactor(lambda: store.commits_after(revision))

    def test_future_says_so(self, store: Store) -> None:
        """
        A revision that the store never had, as after a restored backup, is an error.
        """
        filled(store, 2)

        with pytest.raises(HistoryGone):
            in_reactor(lambda: store.commits_after(3))

    def test_loaded_stays_as_it_was(self, store: Store) -> None:
        """
        What was loaded does not change with what is committed later, nor with what the caller does to its own values.
        """
        values = {"a": "1"}
        put(store, 0, values)
        loaded = in_reactor(store.load)
        values["b"] = "2"
        put(store, 1, {"a": "3"})

        assert Loaded(revision=1, values=pmap({"a": "1"})) == loaded

    def test_put_and_deleted_at_once(self, store: Store) -> None:
        """
        A key that one commit both deletes and puts has what was put.
        """
        put(store, 0, {"a": "1"})
        in_reactor(lambda: store.commit(1, {"a": "2"}, {"a"}))

        assert pmap({"a": "2"}) == in_reactor(store.load).values

    def test_large_commit(self, store: Store) -> None:
        """
        Many records and large ones are committed as one.
        """
        values = {f"dataset/{number}": f"{number}" * 1000 for number in range(500)} | {"large": "x" * 5_000_000}
        put(store, 0, values)

        assert Loaded(revision=1, values=pmap(values)) == in_reactor(store.load)

    @pytest.mark.parametrize("values", [{"a": "\ud800"}, {"\ud800": "a"}], ids=["text", "key"])
    def test_no_text(self, store: Store, values: dict[str, str]) -> None:
        """
        What is no Unicode text is refused, and nothing is changed: it could never be read again.
        """
        before = in_reactor(filled(store, 2).load)

        with pytest.raises(ValueError, match="surrogates not allowed"):
            put(store, 2, {"b": "1", **values})

        assert before == in_reactor(store.load)
        assert 3 == put(store, 2, {"b": "1"})

    def test_commit_whose_caller_has_gone(self, store: Store) -> None:
        """
        A commit whose caller waits no longer is done or not, never by half, and the next one is told.
        """

        async def give_up() -> None:
            deferred = Deferred.fromCoroutine(store.commit(0, {"a": "1", "b": "1"}, frozenset()))
            deferred.addErrback(lambda _: None)
            deferred.cancel()
            await deferred

        in_reactor(give_up)
        loaded = in_reactor(store.load)

        assert (loaded.revision, dict(loaded.values)) in ((0, {}), (1, {"a": "1", "b": "1"}))
        assert loaded.revision + 1 == put(store, loaded.revision, {"a": "2"})


KEYS = st.sampled_from(["node/1", "dataset/1", "dataset/2", "ownership/1", "container/é"])
COMMITS = st.lists(
    st.tuples(
        st.dictionaries(KEYS, st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=4),
        st.frozensets(KEYS, max_size=3),
        st.integers(-2, 2),
    ),
    max_size=12,
)


@pytest.mark.parametrize("make", [memory, sqlite], ids=["memory", "sqlite"])
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(commits=COMMITS)
def test_like_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory,
    make: Callable[[Path], Coroutine[Any, Any, Store]],
    commits: list[tuple[dict[str, str], frozenset[str], int]],
) -> None:
    """
    After any commits, some of which are made for another revision and refused, a store has what a dictionary would
    have, and its history leads there.
    """
    store = in_reactor(lambda: make(tmp_path_factory.mktemp("store")))
    expected: dict[str, str] = {}
    revision = 0
    states = {0: expected}
    for puts, deletes, off in commits:
        if off in {-1, 1}:
            with pytest.raises(RevisionConflict):
                in_reactor(partial(store.commit, revision + off, puts, deletes))
            continue
        in_reactor(partial(store.commit, revision, puts, deletes))
        revision += 1
        expected = {**{key: text for key, text in expected.items() if key not in deletes}, **puts}
        states[revision] = expected
    loaded = in_reactor(store.load)
    first = max(0, revision - HISTORY_COMMITS)
    replayed = dict(states[first])
    for commit in in_reactor(lambda: store.commits_after(first)):
        replayed = {**{key: text for key, text in replayed.items() if key not in commit.deletes}, **commit.puts}
    in_reactor(store.close)

    assert (revision, expected, expected) == (loaded.revision, dict(loaded.values), replayed)
