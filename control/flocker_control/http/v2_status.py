"""
``/v2``: the control service itself.
"""

from __future__ import annotations

from typing import Any

from flocker_control.backup_schedule import BackupReport
from flocker_control.http.answers import Answer
from flocker_control.http.routes import Api, Call, Route, route
from flocker_py import __version__
from flocker_py.observed import ReportedError


async def status(api: Api, _call: Call) -> Answer:
    """
    How the control service does.
    """
    service = api.service
    report = api.backups()
    return Answer(
        body={
            "version": __version__,
            "revision": service.state.revision,
            "nodes_known": len(service.state.nodes),
            "nodes_connected": len(service.nodes),
            "store_error": _error_view(service.store_error),
            "backups": None if report is None else _backups_view(report),
        }
    )


def _backups_view(report: BackupReport) -> dict[str, Any]:
    newest = report.newest
    return {
        "directory": str(report.plan.directory),
        "every_seconds": report.plan.every_seconds,
        "keep": report.plan.keep,
        "newest": None
        if newest is None
        else {
            "name": newest.name.text(),
            "revision": newest.mark.revision,
            "taken_at_seconds": newest.name.taken_at.timestamp(),
        },
        "error": _error_view(report.error),
    }


def _error_view(error: ReportedError | None) -> dict[str, Any] | None:
    return None if error is None else {"code": error.code, "text": error.text, "at_seconds": error.at_seconds}


STATUS_ROUTES: tuple[Route, ...] = (
    route(
        "GET",
        "/v2/status",
        status,
        {200: "Status"},
        summary="How the control service does: its store, and the backups that it makes",
    ),
)
