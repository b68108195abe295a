"""
Running one asynchronous command in a reactor of its own, from the first signal to the exit status.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

import click
from twisted.internet.defer import CancelledError, Deferred

from flocker_admin.exits import SIGNALLED, Exit, exit_for
from flocker_py.errors import FlockerError, code, explanation
from flocker_py.wire import json_text


def run(command: Callable[[Any], Coroutine[Any, Any, int]], *, as_json: bool) -> int:
    """
    The exit status of a command.

    SIGINT and SIGTERM cancel it, so that it can say what remains; the second one ends the process at once.

    :param command: is given the reactor; answers with an exit status.
    :param as_json: tell errors on standard output, as a JSON object in a line.
    """
    from twisted.internet import reactor as installed  # importing it installs it

    reactor: Any = installed
    statuses: list[int] = []
    received: list[int] = []

    async def guarded() -> None:
        try:
            statuses.append(await command(reactor))
        except FlockerError as error:
            statuses.append(tell(error, as_json=as_json))
        except CancelledError:
            # Only a signal cancels the command as a whole.
            statuses.append(SIGNALLED + received[0])
        except Exception:  # noqa: BLE001  # the last place where it can be told
            click.echo(f"This should not have happened, and is a bug:\n{traceback.format_exc()}", err=True)
            statuses.append(Exit.FAILED)
        finally:
            reactor.stop()

    def begin() -> None:
        running = Deferred.fromCoroutine(guarded())

        def interrupted(number: int, _frame: object) -> None:
            if received:
                os._exit(SIGNALLED + number)
            received.append(number)
            reactor.callFromThread(running.cancel)

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, interrupted)

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    return statuses[0]


def tell(error: BaseException, *, as_json: bool) -> int:
    """
    Say what went wrong, and answer with the exit status for it.
    """
    status = exit_for(error)
    if as_json:
        click.echo(
            json_text({"event": "error", "code": code(error), "text": explanation(error), "exit_status": int(status)})
        )
    else:
        click.echo(f"Error: {explanation(error)}", err=True)
    return int(status)
