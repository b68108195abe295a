"""
The directive ``state-machine``: the table of ownership as a picture, drawn from the table in the program itself.

States stand in the order in which the table names them first. Arrows to the right of the commit point lead to where
only the target may write. What changes no state is listed below the picture.
"""

from __future__ import annotations

import html
from typing import NamedTuple

from docutils import nodes
from docutils.parsers.rst import Directive
from ownership_table import EVERYWHERE, Row, rows
from sphinx.application import Sphinx

_STEP, _WIDTH, _HEIGHT, _TOP = 172, 92, 34, 120
_ARC, _LABEL = 30, 15


class Arrow(NamedTuple):
    """
    What is drawn between two states.
    """

    origin: str
    target: str
    names: tuple[str, ...]


def arrows(table: list[Row]) -> list[Arrow]:
    """
    One arrow for each pair of states, with the names of all rows that lead from the one to the other.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for row in table:
        target = row.target.split(",")[0]
        for origin in row.origins:
            if target != "the same" and origin not in EVERYWHERE:
                found.setdefault((origin, target), []).append(row.name)
    return [Arrow(origin, target, tuple(names)) for (origin, target), names in found.items()]


def picture(table: list[Row]) -> str:
    """
    The picture, as SVG for a page.
    """
    drawn = arrows(table)
    states = list(dict.fromkeys(state for arrow in drawn for state in (arrow.origin, arrow.target)))
    place = {state: 20 + number * _STEP for number, state in enumerate(states)}
    parts = [_box(place[state], state) for state in states]
    lanes: dict[bool, int] = {True: 0, False: 0}
    # Short arcs inside of long ones.
    for arrow in sorted(drawn, key=lambda a: abs(states.index(a.target) - states.index(a.origin))):
        distance = states.index(arrow.target) - states.index(arrow.origin)
        if distance == 1:
            parts.append(_straight(place[arrow.origin], place[arrow.target], arrow.names))
        elif distance == 0:
            parts.append(_loop(place[arrow.origin], arrow.names))
        else:
            forward = distance > 0
            lanes[forward] += 1
            parts.append(_arc(place[arrow.origin], place[arrow.target], arrow.names, lanes[forward], forward=forward))
    if "final" in place:
        commit = place["final"] + _WIDTH + (_STEP - _WIDTH) / 2
        parts.append(
            f'<line x1="{commit}" y1="{_TOP - 56}" x2="{commit}" y2="{_TOP + _HEIGHT + 66}" class="commit"/>'
            f'<text x="{commit}" y="{_TOP - 62}" class="label">commit point</text>'
        )
    width, height = 20 + len(states) * _STEP, _TOP + _HEIGHT + 60 + lanes[False] * _ARC
    style = (
        ".box{fill:none;stroke:currentColor;stroke-width:1.4}.way{fill:none;stroke:currentColor;stroke-width:1.1;"
        "marker-end:url(#head)}.commit{stroke:#c33;stroke-width:2;stroke-dasharray:6 4}"
        ".state{font:600 14px sans-serif;fill:currentColor;text-anchor:middle}"
        ".label{font:12px sans-serif;fill:currentColor;text-anchor:middle}"
    )
    head = (
        '<defs><marker id="head" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto">'
        '<path d="M0,0 L9,4 L0,8 z" fill="currentColor"/></marker></defs>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
        f' aria-label="The states of an ownership"><style>{style}</style>{head}{"".join(parts)}</svg>'
    )


def _box(x: float, state: str) -> str:
    return (
        f'<rect x="{x}" y="{_TOP}" width="{_WIDTH}" height="{_HEIGHT}" rx="7" class="box"/>'
        f'<text x="{x + _WIDTH / 2}" y="{_TOP + 22}" class="state">{html.escape(state)}</text>'
    )


def _labels(x: float, y: float, names: tuple[str, ...]) -> str:
    return f'<text x="{x}" y="{y}" class="label">{html.escape(", ".join(names))}</text>'


def _straight(origin: float, target: float, names: tuple[str, ...]) -> str:
    y, begin = _TOP + _HEIGHT / 2, origin + _WIDTH
    middle = (begin + target) / 2
    text = "".join(_labels(middle, y - 7 - _LABEL * number, (name,)) for number, name in enumerate(reversed(names)))
    return f'<path d="M{begin},{y} L{target - 2},{y}" class="way"/>{text}'


def _loop(x: float, names: tuple[str, ...]) -> str:
    middle = x + _WIDTH / 2
    way = f"M{middle - 18},{_TOP} C{middle - 30},{_TOP - 42} {middle + 30},{_TOP - 42} {middle + 18},{_TOP - 2}"
    return f'<path d="{way}" class="way"/>{_labels(middle, _TOP - 38, names)}'


def _arc(origin: float, target: float, names: tuple[str, ...], lane: int, *, forward: bool) -> str:
    edge = _TOP if forward else _TOP + _HEIGHT
    # Several arrows at one box must not lie on one another.
    shift = (lane % 4 - 1.5) * 12
    begin, end = origin + _WIDTH / 2 + shift, target + _WIDTH / 2 + shift
    depth = 42 + lane * _ARC
    y = edge - depth if forward else edge + depth
    way = f"M{begin},{edge} C{begin},{y} {begin},{y} {(begin + end) / 2},{y} S{end},{y} {end},{edge}"
    return f'<path d="{way}" class="way"/>{_labels((begin + end) / 2, y - 5, names)}'


class StateMachine(Directive):
    """
    The picture, and below it what changes no state.
    """

    def run(self) -> list[nodes.Node]:
        """
        Draw it.
        """
        table = rows()
        below = nodes.bullet_list()
        for row in table:
            if row.target == "the same" or set(row.origins) <= set(EVERYWHERE):
                item = nodes.paragraph()
                item += nodes.strong(text=row.name)
                lead = "" if row.target == "the same" else f" (to {row.target})"
                item += nodes.Text(f"{lead}, {', '.join(row.origins)}: {row.when}")
                below += nodes.list_item("", item)
        return [nodes.raw("", picture(table), format="html"), below]


def setup(app: Sphinx) -> dict[str, bool]:
    """
    Make the directive known.
    """
    app.add_directive("state-machine", StateMachine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
