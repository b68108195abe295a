"""
Whatever Docker or its users send to the volume plugin is understood or refused, and the count of mounts is right.
"""

from __future__ import annotations

import json
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from flocker_agent.plugin.calls import NAMES, Call, call
from flocker_agent.plugin.errors import VolumeRefused
from flocker_agent.plugin.options import KNOWN, Options, options
from flocker_agent.plugin.users import MountedVolumes, callers, unused, with_caller, without_caller
from flocker_py.model import DatasetId
from flocker_py.testing.strategies import json_values
from flocker_py.wire import from_text, to_text

_TEXTS = st.text() | st.sampled_from(["true", "1G", "10", "2s", "keep", "1e9", "-1G", "nan"])


@given(name=st.sampled_from(sorted(NAMES)), body=st.binary() | json_values.map(lambda it: json.dumps(it).encode()))
def test_any_call(name: str, body: bytes) -> None:
    """
    A call is understood or refused with a sentence.
    """
    try:
        found: object = call(name, body)
    except VolumeRefused as error:
        found = str(error)

    assert isinstance(found, Call) or found


@given(given_options=st.dictionaries(st.sampled_from([*KNOWN, "from"]) | st.text(), _TEXTS, max_size=4))
def test_any_options(given_options: dict[str, str]) -> None:
    """
    Options are understood or refused with a sentence.
    """
    try:
        found: object = options(given_options)
    except VolumeRefused as error:
        found = str(error)

    assert isinstance(found, Options) or found


_STEPS = st.lists(st.tuples(st.booleans(), st.sampled_from(["pg", "web"]), st.sampled_from("abc")))


@given(steps=_STEPS)
def test_count(steps: list[tuple[bool, str, str]]) -> None:
    """
    After any mounts and unmounts, a volume is in use by those who have mounted it last, also when read from disk.
    """
    known, model = MountedVolumes(era=UUID(int=1)), dict[str, set[str]]()
    for mounts, volume, caller in steps:
        if mounts:
            known = with_caller(known, volume, DatasetId(UUID(int=2)), caller, releases=True)
            model.setdefault(volume, set()).add(caller)
        else:
            known = without_caller(known, volume, caller)
            model.get(volume, set()).discard(caller)
        known = from_text(MountedVolumes, to_text(known))

    assert {volume: sorted(names) for volume, names in model.items()} == {
        volume: list(callers(known, volume)) for volume in known.volumes
    }
    assert sorted(volume for volume, names in model.items() if not names) == list(unused(known))
