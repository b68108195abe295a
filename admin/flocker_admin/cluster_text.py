"""
A deployment document as the text of a ``cluster.yml``, with comments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flocker_py.documents import Pointer

_INDENT = "  "
# Texts that need no quotes in any version of YAML, together with what the words below exclude.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*", re.ASCII)
_WORDS = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n"))
_ADDRESS = re.compile(r"[0-9]+(\.[0-9]+){3}|[0-9]+[KMGT]", re.ASCII)
# Line breaks of YAML 1.1 and what no file may have (YAML 1.2.2, production 1): written as escapes.
_ESCAPED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def cluster_text(
    document: Mapping[str, Any], notes: Mapping[Pointer, Iterable[str]], heading: Iterable[str] = ()
) -> str:
    """
    The document as YAML.

    :param notes: become comments above what they are about, by pointer; those of ``()`` stand at the top.
    :param heading: the first comments.
    """
    lines = [f"# {_line(text)}" for text in (*heading, *notes.get((), ()))]
    lines += _mapping_lines(document, (), "", notes)
    return "".join(f"{line}\n" for line in lines)


def _mapping_lines(
    found: Mapping[str, Any], pointer: Pointer, indent: str, notes: Mapping[Pointer, Iterable[str]]
) -> Iterator[str]:
    for key, below in found.items():
        here = (*pointer, key)
        yield from (f"{indent}# {_line(text)}" for text in notes.get(here, ()))
        if isinstance(below, Mapping) and below:
            yield f"{indent}{scalar(key)}:"
            yield from _mapping_lines(below, here, indent + _INDENT, notes)
        elif isinstance(below, list) and below:
            yield f"{indent}{scalar(key)}:"
            for index, item in enumerate(below):
                yield from (f"{indent}# {_line(text)}" for text in notes.get((*here, index), ()))
                yield f"{indent}- {_flow(item)}"
        else:
            yield f"{indent}{scalar(key)}: {_flow(below)}"


def _flow(found: Any) -> str:
    match found:
        case Mapping():
            return "{" + ", ".join(f"{scalar(key)}: {_flow(below)}" for key, below in found.items()) + "}"
        case list():
            return "[" + ", ".join(_flow(below) for below in found) + "]"
        case str():
            return scalar(found)
        case _:
            return json.dumps(found)


def scalar(text: str) -> str:
    """
    A text as YAML writes it: plain where every reader takes it for a text, else in double quotes.
    """
    if (_PLAIN.fullmatch(text) and text.lower() not in _WORDS) or _ADDRESS.fullmatch(text):
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


def _line(text: str) -> str:
    # A comment ends with its line.
    return _ESCAPED.sub("?", " ".join(text.split()))
