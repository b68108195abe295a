"""
What Docker asks, and what it is answered.
"""

from __future__ import annotations

import json

import pytest

from flocker_agent.plugin.calls import Call, answer, call, mistake
from flocker_agent.plugin.errors import VolumeRefused

CREATE, MOUNT, GET = (f"VolumeDriver.{name}" for name in ("Create", "Mount", "Get"))


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        (MOUNT, {"Name": "pg", "ID": "c1"}, Call(volume="pg", caller="c1")),
        ("VolumeDriver.Unmount", {"Name": "pg", "ID": "c1", "More": 1}, Call(volume="pg", caller="c1")),
        (GET, {"Name": "pg", "Opts": 3}, Call(volume="pg")),
        (CREATE, {"Name": "pg", "Opts": {"size": "1G"}}, Call(volume="pg", options={"size": "1G"})),
        (CREATE, {"Name": "pg", "Opts": None}, Call(volume="pg")),
        (CREATE, {"Name": "pg"}, Call(volume="pg")),
        ("Plugin.Activate", None, Call()),
        ("VolumeDriver.List", {}, Call()),
    ],
)
def test_understood(name: str, body: object, expected: Call) -> None:
    """
    What Docker and Podman send is understood.
    """
    assert expected == call(name, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        (GET, b"", "not JSON"),
        (GET, b"\xff", "not JSON"),
        (GET, b"[]", "not a JSON object"),
        (GET, b"{}", "Name is missing"),
        (GET, b'{"Name": ""}', "Name is missing"),
        (GET, b'{"Name": 5}', "Name is missing"),
        (GET, b'{"Name": "a\\u0000b"}', "is no name"),
        (GET, b'{"Name": "\\u00e4"}', "is no name"),
        (GET, json.dumps({"Name": "a" * 256}).encode(), "is no name"),
        (MOUNT, b'{"Name": "pg"}', "ID is missing"),
        (CREATE, b'{"Name": "pg", "Opts": []}', "Opts is not"),
        (CREATE, b'{"Name": "pg", "Opts": {"size": 1}}', "Opts is not"),
    ],
)
def test_garbage(name: str, body: bytes, expected: str) -> None:
    """
    What isn't a request is refused with what is wrong with it.
    """
    with pytest.raises(VolumeRefused, match=expected):
        call(name, body)


def test_answers() -> None:
    """
    A good answer has an empty Err, and a mistake nothing else.
    """
    good, bad = json.loads(answer({"Mountpoint": "/x"})), json.loads(mistake("so sad ä"))

    assert ({"Mountpoint": "/x", "Err": ""}, {"Err": "so sad ä"}) == (good, bad)
