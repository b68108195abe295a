"""
Documents as text for people.
"""

from __future__ import annotations

import pytest

from flocker_admin.cluster_text import cluster_text, scalar


def test_document_with_comments() -> None:
    """
    Mappings stand in blocks, items of lists on a line each, and comments above what they are about.
    """
    document = {
        "version": 2,
        "cluster": {"name": "prod"},
        "volumes": {},
        "apps": {"db": {"node": "192.0.2.1", "command": ["a b", "c"], "ports": [{"internal": 1, "external": 2}]}},
    }
    notes = {
        (): ["At the\ntop."],
        ("apps", "db"): ["About db.", "More."],
        ("apps", "db", "ports", 0): ["About a port."],
    }

    assert cluster_text(document, notes, ["Heading."]) == (
        "# Heading.\n"
        "# At the top.\n"
        "version: 2\n"
        "cluster:\n"
        "  name: prod\n"
        "volumes: {}\n"
        "apps:\n"
        "  # About db.\n"
        "  # More.\n"
        "  db:\n"
        "    node: 192.0.2.1\n"
        "    command:\n"
        '    - "a b"\n'
        "    - c\n"
        "    ports:\n"
        "    # About a port.\n"
        "    - {internal: 1, external: 2}\n"
    )


def test_lists_in_lists() -> None:
    """
    What is deeper in a list stands on its line.
    """
    assert cluster_text({"a": [["b", {"c": None}]]}, {}) == "a:\n- [b, {c: null}]\n"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("postgres", "postgres"),
        ("20G", "20G"),
        ("192.0.2.1", "192.0.2.1"),
        ("", '""'),
        ("no", '"no"'),
        ("True", '"True"'),
        ("12", '"12"'),
        ("a: b", '"a: b"'),
        ('"', '"\\""'),
        ("\x85", '"\\u0085"'),
        ("ü", '"ü"'),
    ],
)
def test_texts(text: str, written: str) -> None:
    """
    A text is in quotes where a reader of YAML of any version might take it for something else.
    """
    assert scalar(text) == written
