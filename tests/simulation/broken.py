"""
How a simulation ends badly.
"""

from __future__ import annotations

from typing import Any


class Broken(AssertionError):
    """
    What must never be, is.

    :param rule: a stable name of what was broken: a shrunk schedule must break the same.
    :param text: what is wrong, where.
    :param about: the datasets and containers that it concerns, as the story calls them.
    """

    def __init__(self, rule: str, text: str, about: tuple[str, ...] = ()) -> None:
        super().__init__(f"{rule}: {text}")
        self.rule = rule
        self.text = text
        self.about = about


class Killed(BaseException):
    """
    The process that runs this has been killed here. Nothing may catch it but who kills.

    :param process: has a method ``crash``.
    """

    def __init__(self, process: Any) -> None:
        super().__init__()
        self.process = process
