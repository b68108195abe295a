"""
What is the same and what is another definition of a container.
"""

from __future__ import annotations

from hashlib import sha256

from flocker_py.model import Container
from flocker_py.wire import encode, json_text


def definition_digest(container: Container) -> str:
    """
    What two programs of one release call a definition: the same for equal ones, and only for them.
    """
    return sha256(json_text(encode(container)).encode()).hexdigest()
