"""
The demonstration's cluster.yml, and the edits that somebody would make to it by hand. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

LEDGER = "ledger"
"""What both the application and its volume are called."""

_NODE_LINE = re.compile(r"^    node: .*$", re.MULTILINE)


def deployment_text(nodes: Mapping[str, UUID], node: str, fields: Mapping[str, Any], path: str | None) -> str:
    """
    A cluster with the ledger on one of its nodes.

    :param fields: of the application, but for node and mounts.
    :param path: where it has its volume; None: the process begins in it.
    """
    listed = "".join(f"  {name}: {{uuid: {node_id}}}\n" for name, node_id in nodes.items())
    # JSON is YAML, with every text in quotes.
    told = "".join(f"    {name}: {json.dumps(value)}\n" for name, value in fields.items())
    place = "" if path is None else f"\n        path: {path}"
    return f"""\
version: 2
cluster:
  name: demo
nodes:
{listed}volumes:
  {LEDGER}:
apps:
  {LEDGER}:
    node: {node}
{told}    mounts:
      - volume: {LEDGER}{place}
    restart: never
    stop_grace: 10s
"""


def with_node(text: str, node: str) -> str:
    """
    The same with the ledger on another node.
    """
    edited, count = _NODE_LINE.subn(f"    node: {node}", text)
    if count != 1:
        raise ValueError("there must be one app")
    return edited


def without_ledger(text: str) -> str:
    """
    The same with the application gone, and its volume still there.
    """
    return text[: text.index("apps:\n")] + f"apps:\n  {LEDGER}:\n    state: deleted\n"
