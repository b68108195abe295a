"""
Whatever is in a file, importing it ends in records that are consistent, or in a refusal.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from flocker_control.dataset_leases import Moment
from flocker_control.flocker_configuration import ConfigurationUnreadable, old_configuration
from flocker_control.importing import imported
from flocker_control.limits import container_complaint, dataset_complaint
from flocker_control.state import State, changed
from flocker_py.testing.strategies import json_values
from tests.old_configurations import DATA, NODE_1, NODE_2, VERSIONS, everything

NOW = Moment(at_seconds=77.0, boot_id=UUID(int=9))

wrong_values = json_values | st.sampled_from([DATA, NODE_1, NODE_2, "db", "web", 0, -1, 2**70, True, None])


def places(found: Any) -> list[tuple[Any, Any]]:
    """
    Everything that can be exchanged in a document: what it is in, and under which key or index.
    """
    here = list(found.items()) if isinstance(found, dict) else list(enumerate(found)) if isinstance(found, list) else []
    return [(found, key) for key, _ in here] + [place for _, below in here for place in places(below)]


@given(data=st.data(), version=st.sampled_from(VERSIONS))
def test_damaged_files_are_imported_or_refused(data: st.DataObject, version: int) -> None:
    """
    A file in which anything was exchanged for anything is refused, or leads to records that keep all rules.
    """
    document = everything(version, leases=[(DATA, NODE_1, 5)], devices=[(DATA, "x")])
    for _ in range(data.draw(st.integers(0, 3))):
        inside, key = data.draw(st.sampled_from(places(document)))
        inside[key] = data.draw(wrong_values)

    try:
        old = old_configuration(json.dumps(document))
    except ConfigurationUnreadable as refusal:
        assert str(refusal)
        return
    state = changed(State(), imported(old, State(), day_seconds=0.0, now=NOW).changes, revision=1)
    assert [one for one in state.datasets.values() if dataset_complaint(one) is not None] == []
    assert [one for one in state.containers.values() if container_complaint(one) is not None] == []
    assert set(state.datasets) == set(state.ownerships)
    assert {one.owner for one in state.ownerships.values()} <= set(state.nodes)
    assert all(one.created for one in state.ownerships.values())
