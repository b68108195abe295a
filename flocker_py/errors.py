"""
The root of our errors, and how one is told to a user.
"""

from __future__ import annotations

import inspect
from typing import ClassVar


class FlockerError(Exception):
    """
    Something that a user can be told in a sentence. The class's docstring is the fact and the remedy; the message,
    which thing it is about.

    ``lasting`` says that trying again can't help before somebody changes something.
    """

    lasting: ClassVar[bool] = False


def code(error: BaseException) -> str:
    """
    The stable, machine-readable name of an error.
    """
    return type(error).__name__


def explanation(error: BaseException) -> str:
    """
    What an operator reads: which thing, and for errors of ours the fact and the remedy.
    """
    message = str(error) or code(error)
    if not isinstance(error, FlockerError):
        return f"{code(error)}: {message}"
    remedy = " ".join((inspect.getdoc(type(error)) or "").split())
    return f"{message}. {remedy}" if remedy else message
