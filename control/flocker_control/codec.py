"""
The state as the texts that a store keeps, and back.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from flocker_control.state import KINDS, Changes, State, changed, key_of
from flocker_control.store import Commit, Loaded, StoreDamaged, StoreTooNew
from flocker_py.upgrade import FormatTooNew, FormatUnknown
from flocker_py.wire import WireError, from_text, to_text


def texts(changes: Changes) -> tuple[Mapping[str, str], Set[str]]:
    """
    What a store has to put and to delete to make these changes.
    """
    return {key: to_text(record) for key, record in changes.puts.items()}, frozenset(changes.deletes)


def loaded_state(loaded: Loaded) -> State:
    """
    The state that was written, by this or an earlier version.

    :raises StoreDamaged: a record is not what its key says, or can't be read.
    :raises StoreTooNew: a record was written by a later version.
    """
    return changed(State(), _changes(loaded.values, frozenset()), revision=loaded.revision)


def commit_changes(commit: Commit) -> Changes:
    """
    The changes that a commit of the past made.

    :raises StoreDamaged: see ``loaded_state``.
    :raises StoreTooNew: see ``loaded_state``.
    """
    return _changes(commit.puts, frozenset(commit.deletes))


def _changes(puts: Mapping[str, str], deletes: Set[str]) -> Changes:
    changes = Changes().delete(*deletes)
    for key, text in puts.items():
        kind = KINDS.get(key.partition("/")[0])
        if kind is None:
            raise StoreDamaged(f"there is a record under {key!r}, and no kind of record is kept there")
        try:
            record = from_text(kind, text)
        except FormatTooNew as error:
            raise StoreTooNew(f"the record under {key!r}: {error}") from error
        except (WireError, FormatUnknown) as error:
            raise StoreDamaged(f"the record under {key!r}: {error}") from error
        if key_of(record) != key:
            raise StoreDamaged(f"the record under {key!r} belongs under {key_of(record)!r}")
        changes = changes.put(record)
    return changes
