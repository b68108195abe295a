"""
Apt source entries of the Debian archive, extended by the components and suites that ZFS needs.

Pure: text in, text out. Which of the entries are Debian's own archive is the caller's knowledge, and comes in as a set
of addresses: a third party may well use the same suite and component names, and has neither `contrib` nor backports.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

_ONE_LINE = re.compile(
    r"^(?P<head>\s*deb\s+(?:\[[^\]]*\]\s+)?)(?P<uri>\S+)\s+(?P<suite>\S+)(?P<components>[^#\n]*)(?P<rest>.*)$"
)


def normal_uri(uri: str) -> str:
    """
    An address as apt compares it: with exactly one slash at its end.
    """
    return uri.rstrip("/") + "/"


def extended_one_line(text: str, archive_uris: Collection[str], codename: str, component: str, suite: str) -> str:
    """
    A `sources.list` text in which the archive's entries also give a component, and its main suite has a further suite.

    :param text: the whole file.
    :param archive_uris: normal addresses of Debian's archive; entries with other addresses are left as they are.
    :param codename: the release, as in `bookworm`.
    :param component: the component to add, as in `contrib`.
    :param suite: the suite to add next to the release's own, as in `bookworm-backports`; empty: none.
    :return: the text, unchanged if there is nothing to add.
    """
    lines: list[str] = []
    entries = [_ONE_LINE.match(line) for line in text.splitlines()]
    present = {(normal_uri(entry["uri"]), entry["suite"]) for entry in entries if entry is not None}
    for line, entry in zip(text.splitlines(), entries, strict=True):
        if entry is None or normal_uri(entry["uri"]) not in archive_uris or not _of_release(entry["suite"], codename):
            lines.append(line)
            continue
        components = _with(entry["components"].split(), component)
        lines.append(_one_line(entry, entry["suite"], components, entry["components"].split(), line))
        if suite and entry["suite"] == codename and (normal_uri(entry["uri"]), suite) not in present:
            lines.append(f"{entry['head']}{entry['uri']} {suite} {' '.join(components)}")
            present.add((normal_uri(entry["uri"]), suite))
    return _rejoined(lines, text)


def extended_deb822(text: str, archive_uris: Collection[str], codename: str, component: str, suite: str) -> str:
    """
    A `.sources` text (deb822) in which the archive's stanzas also give a component, and its main suite a further suite.

    Parameters and result as for :func:`extended_one_line`.
    """
    parts = re.split(r"(\n[ \t]*\n)", text)
    fields = [_fields(part) for part in parts]
    has_suite = any(
        suite in values.get("suites", []) and _is_archive(values, archive_uris) and _is_enabled(values)
        for values in fields
    )
    extended: list[str] = []
    for part, values in zip(parts, fields, strict=True):
        if not (_is_archive(values, archive_uris) and _is_enabled(values)):
            extended.append(part)
            continue
        suites = values.get("suites", [])
        changed = part
        if any(_of_release(name, codename) for name in suites) and component not in values.get("components", []):
            changed = _field_extended(changed, "components", component)
        if suite and codename in suites and not has_suite:
            changed = _field_extended(changed, "suites", suite)
            has_suite = True
        extended.append(changed)
    return "".join(extended)


def _of_release(suite: str, codename: str) -> bool:
    return suite == codename or suite.startswith((f"{codename}-", f"{codename}/"))


def _with(words: Sequence[str], word: str) -> list[str]:
    return [*words] if word in words else [*words, word]


def _one_line(entry: re.Match[str], suite: str, components: list[str], before: list[str], line: str) -> str:
    if components == before:
        return line
    rest = f" {entry['rest']}" if entry["rest"] else ""
    return f"{entry['head']}{entry['uri']} {suite} {' '.join(components)}{rest}"


def _rejoined(lines: list[str], text: str) -> str:
    return "\n".join(lines) + ("\n" if text.endswith("\n") else "")


def _fields(stanza: str) -> dict[str, list[str]]:
    """
    The words of each field of a stanza, names in lower case; comments left out.
    """
    fields: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1] in {" ", "\t"}:
            if current is not None:
                current.extend(line.split())
        elif ":" in line:
            name, _, value = line.partition(":")
            current = fields.setdefault(name.strip().lower(), [])
            current.extend(value.split())
    return fields


def _is_archive(fields: dict[str, list[str]], archive_uris: Collection[str]) -> bool:
    return "deb" in fields.get("types", []) and any(normal_uri(uri) in archive_uris for uri in fields.get("uris", []))


def _is_enabled(fields: dict[str, list[str]]) -> bool:
    # sources.list(5): Enabled is a boolean, yes by default.
    return [word.lower() for word in fields.get("enabled", ["yes"])] not in (
        ["no"],
        ["false"],
        ["0"],
        ["off"],
        ["without"],
        ["disable"],
    )


def _field_extended(stanza: str, name: str, word: str) -> str:
    """
    The stanza with a word added at the end of a field's first line.
    """
    return re.sub(
        rf"(?im)^({re.escape(name)}[ \t]*:[^\n]*?)[ \t]*$", lambda found: f"{found[1]} {word}", stanza, count=1
    )
