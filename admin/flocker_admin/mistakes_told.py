"""
Telling what is wrong with files.
"""

from __future__ import annotations

import click

from flocker_admin.exits import Exit
from flocker_admin.manifest import Mistake, mistake_text
from flocker_py.wire import json_text


def tell_mistakes(file: str, found: list[Mistake], *, as_json: bool) -> int:
    """
    Write all of them, and answer with the exit status for it.

    :param file: the name of the file, for those that don't say another.
    """
    if as_json:
        listed = [
            {
                "file": one.file or file,
                "line": one.position.line,
                "column": one.position.column,
                "path": one.path,
                "text": one.text,
            }
            for one in found
        ]
        click.echo(json_text({"event": "mistakes", "file": file, "mistakes": listed, "exit_status": int(Exit.USAGE)}))
        return Exit.USAGE
    for one in found:
        click.echo(mistake_text(file, one), err=True)
    count = len(found)
    click.echo(f"{count} {'mistake' if count == 1 else 'mistakes'}; nothing was changed.", err=True)
    return Exit.USAGE
