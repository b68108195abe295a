"""
Docker's volume protocol, version 1: what is asked, in our words, and what is answered.

Everything is a POST of a JSON object. A mistake of whatever kind is answered with status 500 and ``Err``, which both
Docker and Podman show to their users.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyrsistent import PMap, pmap

from flocker_agent.plugin.errors import VolumeRefused
from flocker_py.records import Record, mapping, value
from flocker_py.wire import WireError, json_text, json_value

MEDIA_TYPE = "application/vnd.docker.plugins.v1.2+json"
ACTIVATED: Mapping[str, Any] = {"Implements": ["VolumeDriver"]}
CAPABILITIES: Mapping[str, Any] = {"Capabilities": {"Scope": "global"}}
NAMES = frozenset(
    (
        *("Plugin.Activate", "VolumeDriver.Capabilities", "VolumeDriver.Create", "VolumeDriver.Remove"),
        *("VolumeDriver.Mount", "VolumeDriver.Unmount", "VolumeDriver.Path", "VolumeDriver.Get", "VolumeDriver.List"),
    )
)
_SHOWN_CHARACTERS = 60


class Call(Record):
    """
    A request.

    :param volume: empty where it names none, as does ``caller``.
    """

    volume: str = value(str, default="")
    caller: str = value(str, default="")
    options: PMap[str, str] = mapping(str, str, default={})


def call(name: str, body: bytes) -> Call:
    """
    What is asked.

    :param name: one of ``NAMES``.
    :raises VolumeRefused: it isn't what this call takes.
    """
    if name in ("Plugin.Activate", "VolumeDriver.Capabilities", "VolumeDriver.List"):
        return Call()
    try:
        data = json_value(body.decode("utf-8"))
    except (UnicodeDecodeError, WireError) as error:
        raise VolumeRefused("the request is not JSON in UTF-8") from error
    if not isinstance(data, dict):
        raise VolumeRefused("the request is not a JSON object")
    volume = _text(data, "Name")
    if name in ("VolumeDriver.Mount", "VolumeDriver.Unmount"):
        return Call(volume=volume, caller=_text(data, "ID"))
    given = data.get("Opts") if name == "VolumeDriver.Create" else None
    if given is None:
        return Call(volume=volume)
    if not isinstance(given, dict) or not all(isinstance(text, str) for text in given.values()):
        raise VolumeRefused("Opts is not an object of texts")
    return Call(volume=volume, options=pmap(given))


def _text(data: Mapping[str, Any], key: str) -> str:
    found = data.get(key)
    if not isinstance(found, str) or not found:
        raise VolumeRefused(f"{key} is missing, or is no text")
    # It goes into paths, files and messages.
    if len(found) > 255 or not found.isascii() or not found.isprintable():
        raise VolumeRefused(f"{key} {found[:_SHOWN_CHARACTERS]!r} is no name")
    return found


def answer(found: Mapping[str, Any]) -> bytes:
    """
    A good answer, as it is sent.
    """
    return json_text({**found, "Err": ""}).encode("ascii")


def mistake(text: str) -> bytes:
    """
    What went wrong, as it is sent.
    """
    return json_text({"Err": text}).encode("ascii")
