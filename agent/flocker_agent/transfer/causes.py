"""
One causal tree in the log over threads and nodes.
"""

from __future__ import annotations

import re

from eliot import Action, current_action, start_action

# As eliot's Action.serialize_task_id writes it. From another node it may be anything.
_TASK_ID = re.compile(r"[0-9a-f-]{36}@(/[0-9]{1,9}){1,64}")


def task_id() -> str | None:
    """
    A place below the current action, for an action elsewhere to begin at. None: there is no current action.
    """
    action = current_action()
    return None if action is None else action.serialize_task_id().decode("ascii")


def continued(task_id: str | None, action_type: str, **fields: object) -> Action:
    """
    An action that goes on where another thread or node said it would.

    :param task_id: what ``task_id`` gave there; if it is not that, the action is the root of its own tree.
    """
    if task_id is None or not _TASK_ID.fullmatch(task_id):
        action: Action = start_action(action_type=action_type, **fields)
    else:
        action = Action.continue_task(task_id=task_id, action_type=action_type, **fields)
    return action
