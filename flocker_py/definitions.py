"""
What is the same and what is another definition of a container.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import Any
from uuid import UUID

from flocker_py.model import Container, NodeId
from flocker_py.wire import encode, json_text

_NO_NODE = NodeId(UUID(int=0))


def definition_digest(container: Container) -> str:
    """
    What two programs of one release call a definition: the same for equal ones, and only for them.
    """
    return sha256(json_text(_numbers_alike(encode(container))).encode()).hexdigest()


# Asked for all containers at every listing and every look, and another only after one was changed.
@lru_cache(maxsize=1 << 14)
def started_digest(container: Container) -> str:
    """
    The same for what is started: on which node it is wanted makes no difference.
    """
    return definition_digest(container.set(node_id=_NO_NODE))


def _numbers_alike(found: Any) -> Any:
    # 7 and 7.0 are one period of grace, however somebody wrote it.
    match found:
        case float() if found.is_integer():
            return int(found)
        case dict():
            return {name: _numbers_alike(each) for name, each in found.items()}
        case list():
            return [_numbers_alike(each) for each in found]
        case _:
            return found
