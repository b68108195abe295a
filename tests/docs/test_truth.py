"""
What the documentation names, exists; what it shows, is accepted; what there is to say, is said.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from flocker_admin.deploy import main as flocker_deploy
from flocker_admin.manifest import ManifestDeployment, deployment
from flocker_agent.settings import read_settings
from flocker_agent.storage.backends import BACKENDS
from flocker_py.deployment_schema import DEPLOYMENT_SCHEMA
from tests.docs.blocks import ROOT, Fence, fences, pages
from tests.docs.programs import own_programs
from tests.simulation.catalogue import BUGS

DOCS = ROOT / "docs"
SIMULATION = ROOT / "tests" / "simulation"
_TEST = re.compile(r"`((?:tests|flocker_py/testing)/[\w/]+\.py)::(\w+)(?:::(\w+))?`")
_PATH = re.compile(
    r"`((?:flocker_py|control|agent|admin|tests|demo|docs|packaging|scripts|benchmarks)/[\w./-]+\.\w+)(?:::[\w:]+)?`"
)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def blocks(language: str, marker: str) -> list[Fence]:
    return [it for page in pages() for it in fences(page) if (it.language, it.marker) == (language, marker)]


@pytest.mark.parametrize("block", blocks("yaml", "cluster"), ids=lambda it: it.place)
def test_examples_of_cluster_yml(block: Fence) -> None:
    """
    Every cluster.yml that is shown can be deployed as it is printed.
    """
    assert isinstance(deployment("\n".join(block.content) + "\n"), ManifestDeployment)


@pytest.mark.parametrize("block", blocks("yaml", "agent"), ids=lambda it: it.place)
def test_examples_of_agent_yml(block: Fence, tmp_path: Path) -> None:
    """
    Every agent.yml that is shown is accepted by an agent, the keys of its backend too.
    """
    path = tmp_path / "agent.yml"
    path.write_text("\n".join(block.content) + "\n")

    settings = read_settings(path)
    keys = BACKENDS[settings.backend]

    assert keys.needed <= set(settings.backend_settings) <= keys.needed | keys.taken


@pytest.mark.parametrize("page", pages(), ids=lambda it: str(it.relative_to(ROOT)))
def test_examples_can_be_read(page: Path) -> None:
    """
    Every example is in the language that it is shown as.
    """
    for block in fences(page):
        content = "\n".join(block.content)
        if block.language == "yaml":
            yaml.safe_load(content)
        elif block.language == "python":
            compile(content, block.place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def keys_of(schema: Mapping[str, Any]) -> Iterator[str]:
    """
    All keys that a document of this schema can have.
    """
    for name, below in schema.get("properties", {}).items():
        yield name
        yield from keys_of(below)
    for below in (*schema.get("oneOf", ()), schema.get("items", {}), schema.get("additionalProperties", {})):
        if isinstance(below, Mapping) and below:
            yield from keys_of(below)


def undocumented(words: set[str], page: str) -> set[str]:
    shown = re.findall(r"`+([^`]+)`+", (DOCS / page).read_text())
    return words - {word for text in shown for word in re.findall(r"[\w-]+", text)}


def test_all_keys_of_cluster_yml() -> None:
    """
    The reference of cluster.yml has every key that there is.
    """
    assert undocumented(set(keys_of(DEPLOYMENT_SCHEMA)), "reference/cluster-yml.md") == set()


def test_all_keys_of_agent_yml() -> None:
    """
    The reference of agent.yml takes its table of keys from the program, and explains every part of a setting.
    """
    source = (ROOT / "agent" / "flocker_agent" / "settings.py").read_text()
    table = (ast.get_docstring(ast.parse(source)) or "").replace("``", "`")
    known = set(re.findall(r'(?:_text|_number|_section)\(\w+, "([\w-]+)"', source)) | set(
        re.findall(r'\.get\("([\w-]+)"', source)
    )

    shown = {word for text in re.findall(r"`([^`]+)`", table) for word in re.findall(r"[\w-]+", text)}
    assert (known - shown, bool(known)) == (set(), True)


@pytest.mark.parametrize(
    ("page", "command"),
    [("reference/flocker-deploy.md", flocker_deploy)],
    ids=["flocker-deploy"],
)
def test_all_options(page: str, command: click.Command) -> None:
    """
    A page about one program has all of its options.
    """
    text = (DOCS / page).read_text()
    options = {name for it in command.params if isinstance(it, click.Option) for name in it.opts if name != "--version"}

    assert {name for name in options if name not in text} == set()


def subcommands(name: str) -> list[str]:
    program = own_programs()[name]
    assert isinstance(program, click.Group)
    return [f"{name} {each}" for each in program.commands]


@pytest.mark.parametrize("name", ["flockerctl", "flocker-ca"])
def test_all_subcommands(name: str) -> None:
    """
    A page about a program with subcommands has all of them.
    """
    text = (DOCS / "reference" / f"{name}.md").read_text()

    assert [each for each in subcommands(name) if each not in text] == []


def test_all_programs_are_in_the_reference() -> None:
    """
    The page of all options has every program of the distribution.
    """
    text = (DOCS / "reference" / "commands.md").read_text()

    assert [name for name in own_programs() if f" {name}\n" not in text] == []


@pytest.mark.parametrize("page", pages(), ids=lambda it: str(it.relative_to(ROOT)))
def test_tests_that_are_named(page: Path) -> None:
    """
    A test that a page names is there.
    """
    missing = [
        match[0] for match in _TEST.finditer(page.read_text()) if not _is_there(ROOT / match[1], match[2], match[3])
    ]

    assert missing == []


def _is_there(path: Path, outer: str, inner: str | None) -> bool:
    if not path.exists():
        return False
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name == outer:
            return inner is None
        if isinstance(node, ast.ClassDef) and node.name == outer:
            return any(isinstance(each, ast.FunctionDef) and each.name == inner for each in node.body)
    return False


def test_rules_and_bugs_that_are_named() -> None:
    """
    The simulation has the rules and the deliberate bugs by which the invariants say that they are guarded.
    """
    told = " ".join(re.findall(r"^- Simulation: (.*(?:\n  .*)*)", (DOCS / "internals/invariants.md").read_text(), re.M))
    source = "".join(path.read_text() for path in SIMULATION.glob("*.py"))
    rules = set(re.findall(r'(?:_breaks|Broken)\(\s*"([a-z ]+)"', source))
    named_rules, named_bugs = (set(re.findall(mark, told)) for mark in (r"\*([a-z ]+)\*", r"`([a-z-]+)`"))

    assert (named_rules - rules, named_bugs - {bug.name for bug in BUGS}) == (set(), set())
    assert (bool(named_rules), bool(named_bugs)) == (True, True)


@pytest.mark.parametrize("page", pages(), ids=lambda it: str(it.relative_to(ROOT)))
def test_files_that_are_named(page: Path) -> None:
    """
    A file of the repository that a page names is there.
    """
    assert [match[1] for match in _PATH.finditer(page.read_text()) if not (ROOT / match[1]).exists()] == []


@pytest.mark.parametrize("page", pages(), ids=lambda it: str(it.relative_to(ROOT)))
def test_links(page: Path) -> None:
    """
    A link to a file of the repository leads to one. (What is behind the # Sphinx checks.)
    """
    links = {link.partition("#")[0] for link in _LINK.findall(page.read_text()) if "://" not in link}

    assert [link for link in links if link and not (page.parent / link).exists()] == []
