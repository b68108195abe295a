"""
The documentation tells the truth: what it says to type does what it says it does.
"""

from __future__ import annotations

import shlex
import time
from pathlib import Path

import pytest

from tests.docs.blocks import MARKERS, PROMPT, ROOT, Fence, Step, as_shown, fences, pages, steps
from tests.docs.programs import complaints, make_targets
from tests.docs.shell import Done, Shell

_SOON_SECONDS = 100.0
_BETWEEN_SECONDS = 0.2
_EXECUTED = ("", "soon", "fails")


def consoles(*markers: str) -> list[Fence]:
    return [it for page in pages() for it in fences(page) if it.language == "console" and it.marker in markers]


def by_page() -> dict[str, list[Fence]]:
    found: dict[str, list[Fence]] = {}
    for fence in consoles(*_EXECUTED):
        found.setdefault(str(fence.path.relative_to(ROOT)), []).append(fence)
    return found


def steps_of(*markers: str) -> list[Step]:
    return [step for fence in consoles(*markers) for step in steps(fence)]


def type_in(shell: Shell, step: Step, *, must_fail: bool) -> None:
    done = shell.run(step.command)
    deadline = time.monotonic() + _SOON_SECONDS
    while step.fence.marker == "soon" and not fits(step, done) and time.monotonic() < deadline:
        time.sleep(_BETWEEN_SECONDS)
        done = shell.run(step.command)
    assert (done.status != 0) == must_fail, f"{step.place}: exit status {done.status}\n{done.output}"
    shown = "\n".join(step.expected)
    assert fits(step, done), f"{step.place}\n--- the page shows\n{shown}\n--- it is\n{done.output}"


def fits(step: Step, done: Done) -> bool:
    return not step.expected or as_shown(step.expected, done.output)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", by_page())
def test_page(page: str, tmp_path: Path) -> None:
    """
    Whoever types a page from top to bottom into a shell in an empty folder sees what the page shows.
    """
    shell = Shell(tmp_path)
    try:
        for fence in by_page()[page]:
            found = steps(fence)
            for step in found:
                type_in(shell, step, must_fail=fence.marker == "fails" and step is found[-1])
    finally:
        for cluster in list(tmp_path.rglob("devcluster.json")):
            shell.run(f"flocker-devcluster down --destroy -d {cluster.parent}")
        shell.close()


@pytest.mark.parametrize("step", steps_of("hosts"), ids=lambda step: step.place)
def test_commands_for_hosts(step: Step) -> None:
    """
    Commands that need hosts of their own name programs, commands, options and files that exist.
    """
    found = list(complaints(step.command))

    assert found == []


@pytest.mark.parametrize("step", steps_of("ci"), ids=lambda step: step.place)
def test_commands_of_ci(step: Step) -> None:
    """
    Commands that are left to the continuous integration are targets of the Makefile.
    """
    program, *arguments = shlex.split(step.command)
    targets = {word for word in arguments if "=" not in word}

    assert (program, targets - make_targets()) == ("make", set())


def test_no_other_blocks_hold_commands() -> None:
    """
    No command escapes these tests: what begins with a prompt is in a console block, with a marker that means something.
    """
    strays = [
        it.place
        for page in pages()
        for it in fences(page)
        if (it.language == "console" and it.marker not in MARKERS)
        or (it.language != "console" and any(line.startswith(PROMPT) for line in it.content))
        or it.language in {"sh", "bash", "shell"}
    ]

    assert strays == []
