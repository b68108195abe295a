"""
The resume tokens of the embedded backends: JSON in URL-safe base64. Pure.
"""

from __future__ import annotations

import base64
import binascii
import json

from flocker_agent.storage.rules import Kept
from flocker_py.storage import ResumeRefused, SendPlan


def token(kept: Kept) -> str:
    """
    What a partial receive tells the sender.
    """
    content = {"to": kept.to_guid, "from": kept.from_guid, "key": kept.key, "position": kept.position}
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


def resume_position(plan: SendPlan, data_bytes: int, key: int = 0) -> int | None:
    """
    Where in its data the stream of a plan goes on; None: it begins.

    :param data_bytes: how much data the whole stream has.
    :param key: of the stream, as its opening has it.
    :raises ResumeRefused: the plan's token is none, or is of another stream.
    """
    if plan.resume_token is None:
        return None
    try:
        content = json.loads(base64.b64decode(plan.resume_token, altchars=b"-_", validate=True))
        found = (content["to"], content["from"])
        found_key, position = content["key"], content["position"]
    except (ValueError, TypeError, KeyError, binascii.Error, RecursionError) as error:
        raise ResumeRefused(f"{plan.resume_token[:100]!r} is no resume token") from error
    if found != (plan.to_guid, plan.from_guid):
        raise ResumeRefused(
            f"The token is of the stream from {found[1]} to {found[0]}, not from {plan.from_guid} to {plan.to_guid}"
        )
    if found_key != key:
        raise ResumeRefused(f"The token is of a stream to {plan.to_guid} that another host made in another way")
    if type(position) is not int or not 0 <= position <= data_bytes:
        raise ResumeRefused(f"The token goes on at {position!r}, but the stream has {data_bytes} bytes of data")
    return position
