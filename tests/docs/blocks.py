"""
Commands in the documentation, as a reader sees them: fenced blocks of the language ``console``.

=======  ===============================================================================================================
marker   what is done with the commands of the block
=======  ===============================================================================================================
(none)   each is executed and must succeed; where output is shown, it must be so
soon     the same, but a command whose output isn't there yet is tried again for a while: for what takes its time
fails    the last one must fail; the others must succeed
hosts    not executed, for it needs hosts of its own: programs, subcommands, options and files must exist
ci       not executed here, but by the continuous integration as it stands: the target must be in the Makefile
=======  ===============================================================================================================

The marker is the second word after the fence, which readers don't see. In shown output, ``...`` stands for anything,
and on a line of its own for any number of lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
MARKERS = ("", "soon", "fails", "hosts", "ci")
PROMPT = "$ "
CONTINUED = "> "
_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,})(?P<info>[^`]*)$")


class Fence(NamedTuple):
    """
    A fenced block.

    :ivar line: where it begins in its file, counted from 1.
    """

    path: Path
    line: int
    language: str
    marker: str
    content: list[str]

    @property
    def place(self) -> str:
        """
        For messages.
        """
        return f"{self.path.relative_to(ROOT)}:{self.line}"


class Step(NamedTuple):
    """
    A command.

    :ivar expected: what it shows; empty: nothing is said about that.
    """

    fence: Fence
    line: int
    command: str
    expected: list[str]

    @property
    def place(self) -> str:
        """
        For messages.
        """
        return f"{self.fence.path.relative_to(ROOT)}:{self.line}: {self.command}"


def pages() -> list[Path]:
    """
    Everything that a reader is given.
    """
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
    return [*top, *sorted((ROOT / "docs").rglob("*.md")), ROOT / "tests" / "zfs" / "README.md"]


def fences(path: Path) -> Iterator[Fence]:
    """
    The fenced blocks of a page, in order.
    """
    opened: re.Match[str] | None = None
    begun_at, content = 0, list[str]()
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        match = _FENCE.match(line)
        if opened is None:
            if match is not None:
                opened, begun_at, content = match, number, []
        elif match is not None and not match["info"].strip() and len(match["fence"]) >= len(opened["fence"]):
            language, _, marker = opened["info"].strip().partition(" ")
            yield Fence(path, begun_at, language, marker.strip(), content)
            opened = None
        else:
            content.append(line.removeprefix(opened["indent"]))
    assert opened is None, f"{path}:{begun_at}: the block has no end"


def steps(fence: Fence) -> list[Step]:
    """
    The commands of a block.
    """
    found: list[Step] = []
    for number, line in enumerate(fence.content, start=fence.line + 1):
        if line.startswith(PROMPT):
            found.append(Step(fence, number, line.removeprefix(PROMPT), []))
        elif f"{line} ".startswith(CONTINUED) and found and not found[-1].expected:
            # An empty line of what is typed has no space at its end.
            found[-1] = found[-1]._replace(command=f"{found[-1].command}\n{line[len(CONTINUED) :]}")
        else:
            assert found, f"{fence.place}: output before any command"
            found[-1].expected.append(line)
    return found


def as_shown(expected: list[str], output: str) -> bool:
    """
    Whether output is what a page shows.
    """
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else ".*?".join(re.escape(part) for part in line.rstrip().split("...")) + r" *\n"
        for line in expected
    )
    return re.fullmatch(pattern, output if output.endswith("\n") or not output else output + "\n") is not None
