"""
Whether a command could be run, without running it: for what needs hosts that a test doesn't have.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module

import click

from tests.docs.blocks import ROOT

# Other people's programs that pages name: whether the options exist, their own manuals know.
OTHERS = frozenset(
    (
        *("apt-get", "chown", "cp", "curl", "journalctl", "ln", "python3", "scp", "ssh"),
        *("systemctl", "systemd-sysusers", "truncate", "zfs", "zpool", "docker", "podman"),
        *("echo", "iptables", "nft", "sysctl"),
    )
)
_UNIT = re.compile(r"flocker-[a-z-]+(\.service|\.socket)?")


def complaints(command: str) -> Iterator[str]:
    """
    What is wrong with a command line.
    """
    for part in _simple_commands(shlex.split(command, comments=True)):
        words = [word for word in part if not re.fullmatch(r"[A-Z_]+=.*", word)]
        while words and words[0] == "sudo":
            words = words[1:]
        if words:
            yield from _complaints(words[0], words[1:])


def make_targets() -> set[str]:
    """
    The targets of the Makefile.
    """
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def own_programs() -> Mapping[str, click.Command]:
    """
    Our programs by name, as the distribution declares them.
    """
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    found = {}
    for name, where in scripts.items():
        module, _, attribute = where.partition(":")
        found[name] = getattr(import_module(module), attribute)
    return found


def _simple_commands(words: Sequence[str]) -> Iterator[list[str]]:
    part: list[str] = []
    for word in words:
        if word in {"&&", "||", "|", ";"}:
            yield part
            part = []
        else:
            part.append(word)
    yield part


def _complaints(program: str, arguments: list[str]) -> Iterator[str]:
    own = own_programs()
    if program in own:
        yield from _usage_complaints(program, own[program], arguments)
    elif program == "make":
        unknown = [word for word in arguments if "=" not in word and word not in make_targets()]
        yield from (f"the Makefile has no target {word}" for word in unknown)
    elif "/" in program:
        if not (ROOT / program).exists() and not program.startswith((".venv/", "/")):
            yield f"there is no {program}"
    elif program == "cd":
        return
    elif program not in OTHERS:
        yield f"{program} is neither a program of ours nor in OTHERS"
    if program == "python3" and arguments and arguments[0].endswith(".py") and not (ROOT / arguments[0]).exists():
        yield f"there is no {arguments[0]}"
    if program in {"systemctl", "journalctl"}:
        for word in arguments:
            unit = word if "." in word else f"{word}.service"
            if _UNIT.fullmatch(word) and not (ROOT / "packaging" / "systemd" / unit).exists():
                yield f"packaging/systemd has no unit {unit}"
    for word in arguments:
        if word.startswith("packaging/") and not (ROOT / word).exists():
            yield f"there is no {word}"


def _usage_complaints(name: str, command: click.Command, arguments: list[str]) -> Iterator[str]:
    context = click.Context(command, info_name=name)
    try:
        _, left, _ = command.make_parser(context).parse_args(list(arguments))
    except click.UsageError as error:
        yield f"{context.command_path}: {error.format_message()}"
        return
    if "--help" in arguments or "--version" in arguments or "-h" in arguments:
        return
    if isinstance(command, click.Group):
        rest = [*left] if left else []
        subcommand = command.get_command(context, rest[0]) if rest else None
        if subcommand is None:
            yield f"{context.command_path} has no command {rest[:1]}"
            return
        yield from _usage_complaints(f"{name} {rest[0]}", subcommand, rest[1:])
        return
    needed = [it for it in command.params if isinstance(it, click.Argument) and it.required]
    positional, _, _ = command.make_parser(context).parse_args(list(arguments))
    yield from (
        f"{context.command_path}: {it.human_readable_name} is missing"
        for it in needed
        if not positional.get(it.name or "")
    )
