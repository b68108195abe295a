"""
The demonstration's cluster.yml, and the edits that somebody would make to it by hand. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from uuid import UUID

LEDGER = "ledger"
"""What both the application and its volume are called."""

_NODE_LINE = re.compile(r"^    node: .*$", re.MULTILINE)


def deployment_text(
    nodes: Mapping[str, UUID], node: str, command: Sequence[str], environment: Mapping[str, str]
) -> str:
    """
    A cluster with the ledger on one of its nodes.
    """
    listed = "".join(f"  {name}: {{uuid: {node_id}}}\n" for name, node_id in nodes.items())
    # JSON is YAML, with every text in quotes.
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
    command: {json.dumps(list(command))}
    env: {json.dumps(dict(environment))}
    mounts:
      - volume: {LEDGER}
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
