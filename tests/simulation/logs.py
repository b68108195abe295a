"""
The programs' logs as part of the story: what eliot would write is told to the world that runs.

It also keeps what eliot does, which is most of the time that a step takes, out of hundreds of thousands of schedules.
"""

from __future__ import annotations

import re
import sys
import traceback
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from flocker_control.store import StoreError
from tests.simulation.broken import Broken

if TYPE_CHECKING:
    from tests.simulation.world import World

world: World | None = None
_UUID = re.compile(r"(?:UUID\()?'?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'?\)?")


def readable(what: object) -> str:
    """
    Something in words, with the names of the story instead of UUIDs.
    """
    return _UUID.sub(_name, str(what))


def _name(found: re.Match[str]) -> str:
    uuid = UUID(found[0].removeprefix("UUID(").strip("()'"))
    if uuid.int < 1 << 16:
        return f"n{uuid.int}"
    if uuid.int >> 64 == 7 or uuid.int >> 100 != 1:
        return f"m{uuid.int & 0xFFFF}"
    return f"d{uuid.int & 0xFFFF}"


class ToldAction:
    """
    What stands for an eliot action.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and world is not None and not isinstance(error, GeneratorExit):
            world.tell(f"    failed: {type(error).__name__}: {error}")

    def add_success_fields(self, **fields: object) -> None:
        """
        What came out of it.
        """


_ACTION = ToldAction()


def _start_action(*_: object, action_type: str = "", **fields: object) -> ToldAction:
    if world is not None:
        world.story.append((world.steps, world.scheduler.now, (action_type, fields)))
    return _ACTION


def _log_message(message_type: str = "", **fields: object) -> None:
    if world is not None:
        world.story.append((world.steps, world.scheduler.now, (message_type, fields)))


def _write_traceback(*_: object) -> None:
    error = sys.exc_info()[1]
    if world is not None and error is not None and not isinstance(error, StoreError) and world.broken is None:
        if isinstance(error, Broken):
            world.broken = error
            return
        world.broken = Broken("exception", f"{type(error).__name__}: {error}")
        world.tell(traceback.format_exc())


def _write_failure(failure: Any) -> None:
    if world is not None:
        world.unexpected(failure)


def into_the_story() -> None:
    """
    From now on, in this process, what our programs would log goes into the story.
    """
    substitutes = {
        "start_action": _start_action,
        "log_message": _log_message,
        "write_traceback": _write_traceback,
        "write_failure": _write_failure,
    }
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] in ("flocker_py", "flocker_control", "flocker_agent"):
            for function, substitute in substitutes.items():
                if hasattr(module, function):
                    setattr(module, function, substitute)
