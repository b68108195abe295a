"""
The sender's side of a conversation: waiting for answers and for the storage backend without falling silent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from flocker_agent.transfer.channel import Channel, HasDescriptor, Piece
from flocker_agent.transfer.errors import ConversationBroken, refused
from flocker_agent.transfer.wake import Task, Wake
from flocker_py.streams import Message, Refusal

M = TypeVar("M", bound=Message)
T = TypeVar("T")
# Longest sleep without a look at progress to report.
_LOOK_SECONDS = 1.0


class Conversation:
    """
    A connection on which nothing is heard but answers and refusals.

    :param on_look: called at least once a second, in the thread that waits.
    """

    def __init__(self, channel: Channel, wake: Wake, clock: Callable[[], float], on_look: Callable[[], None]) -> None:
        self.channel = channel
        self._wake = wake
        self._clock = clock
        self._on_look = on_look

    def reply(self, kind: type[M]) -> M:
        """
        Wait for the answer to what was said last.

        :raises FlockerError: it was a refusal.
        :raises ConversationBroken: it was something else.
        """
        while True:
            found = self._incoming()
            if isinstance(found, kind):
                return found
            if found is not None:
                raise ConversationBroken(f"The other side said {type(found).__name__} instead of {kind.__name__}")
            self._wait(_LOOK_SECONDS)

    def listen(self) -> None:
        """
        Note what has come, which can't be an answer, without waiting.

        :raises FlockerError: it was a refusal.
        :raises ConversationBroken: it was something else.
        """
        found = self._incoming()
        if found is not None:
            raise ConversationBroken(f"The other side said {type(found).__name__} out of turn")
        self.channel.say_alive()
        self._on_look()

    def wait(self, timeout_seconds: float, *also: HasDescriptor | int) -> None:
        """
        Wait until there may be a reason to go on, at most for a time, and listen.
        """
        self._wait(timeout_seconds, *also)
        self.listen()

    def pause(self, timeout_seconds: float, until: Callable[[], bool] = bool) -> None:
        """
        Wait for a time, or until something is true.
        """
        end_seconds = self._clock() + timeout_seconds
        while not until() and (left_seconds := end_seconds - self._clock()) > 0:
            self.wait(left_seconds)

    def call(self, name: str, blocking: Callable[[], T]) -> T:
        """
        What a call answers that may block. Whatever ends the waiting, the call is through when this returns.
        """
        task = Task(name, blocking, self._wake)
        try:
            while not task.done:
                self.wait(_LOOK_SECONDS)
        finally:
            task.wait()
        return task.result()

    def _incoming(self) -> Message | None:
        found = self.channel.incoming()
        if isinstance(found, Refusal):
            raise refused(found)
        if isinstance(found, Piece):
            raise ConversationBroken("The other side sent data where none is taken")
        return found

    def _wait(self, timeout_seconds: float, *also: HasDescriptor | int) -> None:
        self.channel.wait(min(timeout_seconds, _LOOK_SECONDS), *also)
        self.channel.say_alive()
        self._on_look()
