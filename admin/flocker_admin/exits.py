"""
The exit statuses of ``flocker-deploy`` and ``flockerctl``.

======  ==========  ====================================================================================
status  name        meaning
======  ==========  ====================================================================================
0       DONE        what was asked is done; for ``flocker-deploy``: everything is as the file says
1       FAILED      refused, or it can't be reached without somebody's doing; the message says what to do
2       USAGE       wrong usage, a wrong file, or certificates that can't be used
3       TIMEOUT     not done in the time given; the cluster goes on
4       CONFLICT    the cluster has changed since the plan was made; nothing was applied
5       NO_CONTROL  the control service can't be reached, or isn't trusted
130     --          interrupted (128 + the signal's number); the cluster goes on with what was applied
======  ==========  ====================================================================================
"""

from __future__ import annotations

import enum

from flocker_py.client.errors import ControlNotTrusted, ControlUnreachable, RevisionChanged
from flocker_py.credentials import CredentialUnusable


class Exit(enum.IntEnum):
    """
    How a command ended, for scripts.
    """

    DONE = 0
    FAILED = 1
    USAGE = 2
    TIMEOUT = 3
    CONFLICT = 4
    NO_CONTROL = 5


SIGNALLED = 128
"""Added to the number of the signal that ended a command."""

HELP = (
    "Exit status: 0 done; 1 refused or failed; 2 wrong usage, file or certificates; 3 not done in time; "
    "4 the cluster has changed since the plan; 5 no connection to the control service; 130 interrupted."
)


def exit_for(error: BaseException) -> Exit:
    """
    The exit status that says best what went wrong.
    """
    match error:
        case ControlUnreachable() | ControlNotTrusted():
            return Exit.NO_CONTROL
        case RevisionChanged():
            return Exit.CONFLICT
        case CredentialUnusable():
            return Exit.USAGE
        case _:
            return Exit.FAILED
