"""
Volumes that Docker has forgotten are let go: whose container is gone, while the plugin or Docker itself was killed.
"""

from __future__ import annotations

from typing import Any

from eliot import log_message, start_action, write_traceback
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from flocker_agent.plugin.engines import ContainerEngines
from flocker_agent.plugin.users import forgotten, unseen_since, unused
from flocker_agent.plugin.volumes import Volumes
from flocker_py.errors import FlockerError, code

LOOK_EVERY_SECONDS = 10.0


class Forgetting:
    """
    Looks from time to time at what containers use, lets go of what none does, and releases what is left unreleased.

    :param forget_seconds: for how long no container may be seen to use a volume that somebody has mounted: one that is
        being started isn't seen yet.
    """

    def __init__(self, reactor: Any, volumes: Volumes, engines: ContainerEngines, *, forget_seconds: float) -> None:
        self._reactor = reactor
        self._volumes = volumes
        self._engines = engines
        self._forget_seconds = forget_seconds
        self._since: dict[str, float] = {}
        self._loop = LoopingCall(lambda: Deferred.fromCoroutine(self.look()))
        self._loop.clock = reactor

    def start(self) -> None:
        """
        Begin, with a look.
        """
        self._loop.start(min(LOOK_EVERY_SECONDS, self._forget_seconds))

    def stop(self) -> None:
        """
        End.
        """
        if self._loop.running:
            self._loop.stop()

    async def look(self) -> None:
        """
        Look once. Whatever goes wrong, the next look finds what is left to do.
        """
        try:
            await self._look()
        except FlockerError as error:
            log_message(message_type="flocker:plugin:look-failed", code=code(error), reason=str(error))
        except Exception:  # noqa: BLE001  # told in the log, and tried again
            write_traceback()

    async def _look(self) -> None:
        known = self._volumes.known
        if any(volume.callers for volume in known.volumes.values()):
            seen = await self._engines.used_volumes()
            on_their_way = frozenset(self._volumes.mounting)
            now_seconds = self._reactor.seconds()
            seen = None if seen is None else seen | on_their_way
            self._since = unseen_since(self._volumes.known, seen, self._since, now_seconds)
            gone = forgotten(self._since, now_seconds, self._forget_seconds)
            for volume in gone:
                await self._volumes.let_go(volume)
        if unused(self._volumes.known):
            with start_action(action_type="flocker:plugin:release"):
                await self._volumes.release_all_unused()
