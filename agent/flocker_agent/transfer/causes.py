"""
One causal tree in the log over threads and nodes.
"""

from __future__ import annotations

import re
import traceback

from eliot import Action, current_action, log_message, start_action

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


def log_failure(error: Exception) -> None:
    """
    Log an error that nobody foresaw, with where it came from.
    """
    # As eliot's write_traceback, which warns of its own use of something deprecated.
    log_message(
        "eliot:traceback",
        reason=str(error),
        exception=f"{type(error).__module__}.{type(error).__qualname__}",
        traceback="".join(traceback.format_exception(error)),
    )
