"""
The table of ownership as its module's docstring has it: the columns *from* and *to*, as states.

That it says what the rows do is in tests/unit/test_ownership_table.py.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "control/flocker_control/ownership.py"
EVERYWHERE = ("any", "deleted")
"""Where a row begins that belongs to no one state."""


class Row(NamedTuple):
    """
    One row of the table.
    """

    origins: tuple[str, ...]
    name: str
    when: str
    target: str


def rows() -> list[Row]:
    """
    The rows of the table in the docstring of the module that decides.

    :raises ValueError: they are not those of the table in its code.
    """
    lines = inspect.cleandoc(ast.get_docstring(ast.parse(SOURCE.read_text()), clean=False) or "").splitlines()
    rules = [number for number, line in enumerate(lines) if re.fullmatch(r"=+( +=+)+", line)]
    starts = [match.start() for match in re.finditer("=+", lines[rules[0]])]
    found: list[list[str]] = []
    for line in lines[rules[1] + 1 : rules[2]]:
        cells = [line[begin:end].strip() for begin, end in zip(starts, [*starts[1:], None], strict=True)]
        if cells[1]:
            found.append(cells)
        else:
            found[-1] = [f"{before} {more}".strip() for before, more in zip(found[-1], cells, strict=True)]
    order: list[str] = []
    for cells in found:
        for state in (*re.split(r", | \.\. ", cells[0]), cells[3].split(",")[0]):
            if state not in order and state not in (*EVERYWHERE, "the same"):
                order.append(state)
    result = [Row(tuple(_origins(cells[0], order)), cells[1], cells[2], cells[3]) for cells in found]
    in_code = {name for name, *_ in importlib.import_module("flocker_control.ownership").TABLE} | {"withdrawn"}
    if {row.name for row in result} != in_code:
        raise ValueError(f"the table of {SOURCE} differs from its docstring: {in_code ^ {r.name for r in result}}")
    return result


def _origins(cell: str, order: list[str]) -> Iterator[str]:
    if " .. " in cell:
        first, last = cell.split(" .. ")
        yield from order[order.index(first) : order.index(last) + 1]
    else:
        yield from cell.split(", ")
