"""
Backups that the control service makes by itself, as long as it runs.

They are made in a thread of their own: neither requests nor commits wait for them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from eliot import log_message, start_action
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from flocker_control.backups import Backup, back_up_if_changed
from flocker_py.clock import Timer
from flocker_py.errors import FlockerError, code, explanation
from flocker_py.observed import ReportedError
from flocker_py.records import Record, value

RETRY_SECONDS = 60.0
"""After a backup that failed; sooner, if backups are made more often."""


class BackupPlan(Record):
    """
    Where, how often, how many.

    :param every_seconds: a backup is made at the start, and so long after the last; each if something has changed.
    :param keep: how many stay, at least 1.
    """

    directory: Path = value(Path)
    every_seconds: float = value((int, float))
    keep: int = value(int)


class BackupReport(Record):
    """
    How it goes.

    :param newest: of those that are known to be whole; None: there is none yet.
    :param error: why the last try failed; None: it didn't.
    """

    plan: BackupPlan = value(BackupPlan)
    newest: Backup | None = value((Backup, type(None)), default=None)
    error: ReportedError | None = value((ReportedError, type(None)), default=None)


class BackupSchedule:
    """
    Makes backups of the store of a data directory until it is stopped.

    :param reactor: where time passes and results arrive.
    :param now_seconds: since the epoch of Unix.
    """

    def __init__(self, reactor: Any, data_path: Path, plan: BackupPlan, *, now_seconds: Callable[[], float]) -> None:
        self.report = BackupReport(plan=plan)
        self._reactor = reactor
        self._now_seconds = now_seconds
        self._data_path = data_path
        self._pool = ThreadPool(minthreads=1, maxthreads=1, name="backups")
        self._timer: Timer | None = None
        self._under_way: Deferred[None] | None = None
        self._stopped = False

    def start(self) -> None:
        """
        Make the first one at once.
        """
        self._pool.start()
        self._due()

    async def stop(self) -> None:
        """
        Make no more. One that is under way is brought to its end.
        """
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._under_way is not None:
            await self._under_way
        self._pool.stop()

    def _due(self) -> None:
        self._under_way = Deferred.fromCoroutine(self._back_up())

    async def _back_up(self) -> None:
        plan = self.report.plan
        wait_seconds = plan.every_seconds
        try:
            with start_action(action_type="flocker:control:backup", directory=str(plan.directory)) as action:
                newest: Backup = await deferToThreadPool(
                    self._reactor,
                    self._pool,
                    back_up_if_changed,
                    self._data_path,
                    plan.directory,
                    now_seconds=self._now_seconds(),
                    keep=plan.keep,
                    newest=self.report.newest,
                )
                action.add_success_fields(newest=newest.name.text(), made=newest != self.report.newest)
            self.report = self.report.set(newest=newest, error=None)
        except Exception as error:  # noqa: BLE001  # whatever it is, users are told, and the next backup is tried
            wait_seconds = min(wait_seconds, RETRY_SECONDS)
            self.report = self.report.set(
                error=ReportedError(
                    code=code(error),
                    text=explanation(error),
                    at_seconds=self._now_seconds(),
                    lasting=isinstance(error, FlockerError) and error.lasting,
                )
            )
            log_message(message_type="flocker:control:backup:failed", reason=explanation(error))
        self._under_way = None
        if not self._stopped:
            self._timer = self._reactor.callLater(wait_seconds, self._due)
