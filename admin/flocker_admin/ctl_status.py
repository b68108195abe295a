"""
The command of ``flockerctl`` that looks at the control service itself.
"""

from __future__ import annotations

from typing import Any

import click

from flocker_admin.ctl_session import Session, json_option, listed, told
from flocker_admin.exits import Exit
from flocker_admin.listings import status_lines
from flocker_py.client.control import ControlClient
from flocker_py.client.views import StatusView, view


@click.command()
@json_option
@click.pass_obj
def status(session: Session, as_json: bool) -> None:
    """
    Say how the control service does, and its backups; the exit status is 1 if something is wrong with either.
    """

    async def command(_reactor: Any, client: ControlClient) -> int:
        raw = await client.answer("GET", "/v2/status", harmless=True)
        found = view(StatusView, raw)
        if as_json:
            told(raw)
        else:
            listed(status_lines(found))
        failed = found.store_error is not None or (found.backups is not None and found.backups.error is not None)
        return Exit.FAILED if failed else Exit.DONE

    session.run(command, as_json=as_json)
