# ruff: noqa: E501  # one mistake a line
"""
What ``cluster.yml`` means, and where its mistakes are.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from flocker_admin import manifest as manifest_module
from flocker_admin.manifest import (
    Manifest,
    ManifestDeployment,
    Mistake,
    Position,
    deployment,
    manifest,
    mistake_text,
    mistakes,
    path_text,
)
from flocker_py.documents import Complaint

GOOD = """\
version: 2
cluster: {name: prod, control: {host: ctl.example}}
nodes:
  n1: {address: 192.0.2.1}
  n2:
volumes:
  pg: {size: 20G}
apps:
  db:
    image: postgres:16
    node: n1
    mounts: [{volume: pg, path: /data}]
    ports: [22:22, "5432:5432"]
"""


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Both parsers of PyYAML: the fast one isn't everywhere.
    """
    if not hasattr(yaml, request.param):
        pytest.skip("this PyYAML was built without libyaml")
    monkeypatch.setattr(manifest_module, "_LOADER", getattr(yaml, request.param))


def data(text: str) -> Any:
    read = manifest(text)
    assert isinstance(read, Manifest), read
    return read.data


def told(text: str) -> list[str]:
    read = deployment(text)
    assert isinstance(read, list), read
    return [mistake_text("cluster.yml", mistake) for mistake in read]


def test_good_file_is_a_deployment() -> None:
    """
    A good file is read to the deployment that it describes.
    """
    read = deployment(GOOD)

    assert isinstance(read, ManifestDeployment)
    assert read.deployment.volumes["pg"].primary == "n1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("a:", {"a": None}),
        ("a: ~", {"a": None}),
        ("a: true", {"a": True}),
        ("a: FALSE", {"a": False}),
        ("a: no", {"a": "no"}),
        ("a: on", {"a": "on"}),
        ("a: 017", {"a": 17}),
        ("a: -5", {"a": -5}),
        ("a: 1_000", {"a": "1_000"}),
        ("a: 0x10", {"a": "0x10"}),
        ("a: 22:22", {"a": "22:22"}),
        ("a: 2001-01-01", {"a": "2001-01-01"}),
        ("a: 1.5", {"a": 1.5}),
        ("a: 1e3", {"a": 1000.0}),
        ("a: 1e999", {"a": "1e999"}),
        ("a: .nan", {"a": ".nan"}),
        ("a: '7'", {"a": "7"}),
        ('a: ""', {"a": ""}),
        ("a: !!str 7", {"a": "7"}),
        ("a: ! 7", {"a": "7"}),
        (f"a: {'9' * 31}", {"a": "9" * 31}),
        ("7: x", {"7": "x"}),
        ("'<<': x", {"<<": "x"}),
        ("a:\n- b\n- [c, {d: e}]", {"a": ["b", ["c", {"d": "e"}]]}),
        ("a: |\n  b\n  c\n", {"a": "b\nc\n"}),
        ("# nothing\n---\na: 1\n...\n", {"a": 1}),
        ("\ufeffa: 1", {"a": 1}),
    ],
)
def test_values(text: str, expected: object) -> None:
    """
    Plain values mean what YAML 1.2 says, and what means different things to different people is a text.
    """
    assert data(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &x 1", "1:4: anchors are not supported: write the value out where it is needed"),
        ("a: &x [1]", "1:4: anchors are not supported: write the value out where it is needed"),
        ("a: *x", "1:4: aliases are not supported: write the value out"),
        ("<<: {}", "1:1: merge keys are not supported: write the fields out"),
        ("a: !!int 7", "1:4: tags are not supported: leave tag:yaml.org,2002:int out"),
        ("a: !!python/name:os.system x", "1:4: tags are not supported: leave tag:yaml.org,2002:python/name:os.system out"),
        ("--- 1\n--- 2\n", "2:1: a second document begins here, and a file has one"),
        ("? [a]\n: 1", "1:3: a key must be a text"),
        ("[" * 900, "1:33: nested more than 32 deep"),
        ("a: b\n\x07", "2:1: not YAML: the character U+0007 must not be in a file"),
        ("é\ud800", "1:2: not YAML: the character U+D800 must not be in a file"),
        ("x" * 1_000_001, "1:1: the file has more than 1000000 characters"),
    ],
)  # fmt: skip
def test_what_is_not_read(text: str, expected: str) -> None:
    """
    What JSON doesn't have, what could mean two things, and what is made to hurt, is a mistake with its place.
    """
    assert told(text) == [f"cluster.yml:{expected}"]


def test_bottomless_nesting() -> None:
    """
    However deep a file is nested, it is refused in one line: by libyaml from 0.2.6 on, before we get to see it.
    """
    deep = r"cluster.yml:1:(33: nested more than 32 deep|1001: not YAML: exceeded maximum nesting depth.*)"

    assert [bool(re.fullmatch(deep, line)) for line in told("[" * 100_000)] == [True]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            GOOD.replace("20G", "20Q") + "version: 2\n",
            ["7:8: volumes.pg.size: '20Q' is not", "14:1: version: this key is there twice, first at 1:1"],
        ),
        (GOOD + "version: 2\n", ["14:1: version: this key is there twice, first at 1:1"]),
        ("a: 1\na: ]", ["2:1: a: this key is there twice, first at 1:1", "2:4: not YAML"]),
        ("a: 1\na: *x", ["2:1: a: this key is there twice, first at 1:1", "2:4: aliases are"]),
    ],
)
def test_key_that_is_there_twice(text: str, expected: list[str]) -> None:
    """
    A key that is there twice is a mistake beside the others, and hides none of them.
    """
    lines = told(text)

    assert [line[: len(f"cluster.yml:{one}")] for line, one in zip(lines, expected, strict=True)] == [
        f"cluster.yml:{one}" for one in expected
    ]


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\t- a", "a: 'b", "%YAML 9\n---\na", "- a\nb: c"])
def test_what_is_not_yaml(text: str) -> None:
    """
    What isn't YAML is one mistake, where the parser stopped.
    """
    read = manifest(text)

    assert isinstance(read, list)
    assert read[0].text.startswith("not YAML: ")


def test_mistakes_have_lines_and_columns() -> None:
    """
    All mistakes are told at once, in the order of the lines, with the column of the key or the item.
    """
    text = GOOD.replace("20G", "20Q").replace("node: n1", "node: n1x").replace('"5432:5432"', "x")

    assert told(text.replace("version: 2", "version: 2\nvolume: {}")) == [
        "cluster.yml:2:1: volume: a deployment has no field 'volume'; did you mean volumes?",
        (
            "cluster.yml:8:8: volumes.pg.size: '20Q' is not a size. A size is a number of bytes, or a number with K, M, G, "
            "T, P or E: 20G, 512MiB, 1.5T. These are powers of 1024."
        ),
        "cluster.yml:12:5: apps.db.node: there is no node 'n1x' in nodes; did you mean n1?",
        (
            "cluster.yml:14:20: apps.db.ports[1]: must be 'external:internal' or 'external:internal/udp', perhaps behind an address,"
            " not 'x'"
        ),
    ]


def test_what_is_missing_is_at_what_lacks_it() -> None:
    """
    A missing field is told at the place of the mapping that lacks it.
    """
    assert told("version: 2\ncluster:\n  control: {host: a}\n") == ["cluster.yml:2:1: cluster: cluster needs name"]


def test_empty_file() -> None:
    """
    An empty file is one mistake, at its beginning.
    """
    assert told("") == ["cluster.yml:1:1: a deployment must be a mapping, not nothing"]


def test_complaint_about_what_the_file_leaves_out() -> None:
    """
    Somebody else's complaint about a place that isn't in the file is told at the nearest place that is.
    """
    read = manifest(GOOD)
    assert isinstance(read, Manifest)

    assert mistakes(read, [Complaint(pointer=("volumes", "pg", "primary"), text="x")]) == [
        Mistake(position=Position(line=7, column=3), path="volumes.pg.primary", text="x")
    ]


def test_path_for_people() -> None:
    """
    A pointer is shown with dots and brackets.
    """
    assert path_text(("apps", "db", "ports", 0)) == "apps.db.ports[0]"
