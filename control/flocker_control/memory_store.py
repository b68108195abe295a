"""
A store that lasts as long as the process: for tests, as strict as the real one.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from pyrsistent import PMap, PVector, pmap, pvector

from flocker_control.store import Commit, HistoryGone, Loaded, RevisionConflict


class MemoryStore:
    """
    A ``Store`` whose contents are gone with the object.

    :param history_commits: how many commits are remembered for ``commits_after``.
    """

    def __init__(self, *, history_commits: int = 10_000) -> None:
        self._history_commits = history_commits
        self._revision = 0
        self._values: PMap[str, str] = pmap()
        self._history: PVector[Commit] = pvector()

    async def load(self) -> Loaded:
        """
        See ``Store.load``.
        """
        return Loaded(revision=self._revision, values=self._values)

    async def commit(self, revision: int, puts: Mapping[str, str], deletes: Set[str]) -> int:
        """
        See ``Store.commit``.
        """
        if revision != self._revision:
            raise RevisionConflict(f"The store is at revision {self._revision}, and the change was made for {revision}")
        for text in (*puts, *puts.values(), *deletes):
            text.encode("utf-8")
        self._revision += 1
        for key in deletes:
            self._values = self._values.discard(key)
        self._values = self._values.update(puts)
        commit = Commit(revision=self._revision, puts=pmap(puts), deletes=pvector(sorted(deletes)))
        self._history = self._history.append(commit)[-self._history_commits :]
        return self._revision

    async def commits_after(self, revision: int) -> PVector[Commit]:
        """
        See ``Store.commits_after``.
        """
        commits = pvector(commit for commit in self._history if commit.revision > revision)
        if revision > self._revision or len(commits) != self._revision - revision:
            raise HistoryGone(
                f"The store is at revision {self._revision}, and not all commits since {revision} are kept"
            )
        return commits

    async def close(self) -> None:
        """
        See ``Store.close``.
        """
