"""
Reference pages that are taken from the program itself, so that they can't say anything else.

=====================  ============================================================================================
directive              what it shows
=====================  ============================================================================================
``module-docstring``   the docstring of a module, given by its path; with ``:table:``, only the tables in it
``command``            a command of ours with its arguments, options and subcommands, given as ``module:name``
``rest-routes``        the routes of one version of the REST API, given as ``v1`` or ``v2``
``rest-schemas``       the JSON objects of the REST API whose names begin so, or don't
``errors``             the error classes of one package, given by its name
``methods``            the public methods of a class, given as ``module:name``
``refusals``           the codes with which the control service refuses what users ask
``fault-points``       the points of a move at which tests kill programs
=====================  ============================================================================================

All are for ``eval-rst`` blocks.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import runpy
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import click
from docutils import nodes
from docutils.parsers.rst import Directive, directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx

ROOT = Path(__file__).parent.parent.parent


class _Generated(Directive):
    """
    A directive whose content is made as reStructuredText.
    """

    required_arguments = 1
    final_argument_whitespace = True

    def text(self) -> str:
        """
        What is shown.
        """
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """
        Parse it in place of the directive.
        """
        container = nodes.Element()
        source = f"<{self.name} {self.arguments[0] if self.arguments else ''}>"
        self.state.nested_parse(StringList(self.text().splitlines(), source), self.content_offset, container)
        return container.children


class ModuleDocstring(_Generated):
    """
    The docstring of a module.
    """

    option_spec: ClassVar[dict[str, Callable[[str], Any]] | None] = {"table": directives.flag}

    def text(self) -> str:
        """
        The docstring, or the tables in it.
        """
        path = ROOT / self.arguments[0]
        docstring = inspect.cleandoc(ast.get_docstring(ast.parse(path.read_text()), clean=False) or "")
        if "table" not in self.options:
            return docstring
        parts = list(tables(docstring))
        if not parts:
            raise self.error(f"there is no table in {path}")
        return "\n\n".join(parts)


def tables(text: str) -> Iterator[str]:
    """
    The simple tables of reStructuredText in a text: each from a ruled line to the last before an empty one.
    """
    for block in re.split(r"\n\s*\n", text):
        lines = block.splitlines()
        if len(lines) > 2 and all(re.fullmatch(r"=+( +=+)+", line) for line in (lines[0], lines[-1])):
            yield block.strip()


# -- commands ----------------------------------------------------------------------------------------------------------


def command(where: str) -> click.Command:
    """
    A command of ours.

    :param where: ``module:name``.
    """
    module, _, name = where.partition(":")
    found = getattr(importlib.import_module(module), name)
    if not isinstance(found, click.Command):
        raise TypeError(f"{where} is no command")
    return found


def described(name: str, shown: click.Command, parent: click.Context | None = None) -> Iterator[str]:
    """
    A command in reStructuredText, its subcommands below it.
    """
    # The width of the usage must not depend on the terminal that the documentation is built in.
    settings = {**shown.context_settings, "terminal_width": 100, "max_content_width": 100}
    context = click.Context(shown, parent=parent, info_name=name, **settings)
    yield from (f".. rubric:: {context.command_path}", "")
    usage = " ".join([context.command_path, *shown.collect_usage_pieces(context)])
    yield from (".. code-block:: text", "", f"   {usage}", "")
    yield from _paragraphs(shown.help or "")
    for parameter in shown.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1]:
            yield from (f"``{record[0]}``", *_indented(record[1]), "")
    yield from _paragraphs(shown.epilog or "")
    if isinstance(shown, click.Group):
        for each in sorted(shown.commands):
            yield from described(each, shown.commands[each], context)


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        yield from (_escaped(" ".join(paragraph.split())), "")


def _indented(text: str) -> Iterator[str]:
    yield f"   {_escaped(' '.join(text.split()))}"


def _escaped(text: str) -> str:
    return re.sub(r"([*`|_\\])", r"\\\1", text)


class CommandDirective(_Generated):
    """
    A command with its options.
    """

    def text(self) -> str:
        """
        The command, and those below it.
        """
        where, _, name = self.arguments[0].partition(" ")
        return "\n".join(described(name, command(where)))


# -- REST --------------------------------------------------------------------------------------------------------------


def _openapi() -> Mapping[str, Any]:
    site = importlib.import_module("flocker_control.http.site")
    openapi = importlib.import_module("flocker_control.http.openapi")
    document: Mapping[str, Any] = openapi.document(site.ROUTES, site.SCHEMAS)
    return document


def _schema_name(response: Mapping[str, Any]) -> str:
    (content,) = response["content"].values()
    return str(content["schema"]["$ref"]).rpartition("/")[2]


def _schema_link(name: str) -> str:
    return f":ref:`{name} <rest-{name}>`"


class RestRoutes(_Generated):
    """
    The routes of one version.
    """

    def text(self) -> str:
        """
        Each route with what goes in and comes out.
        """
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for path, methods in _openapi()["paths"].items():
            if not path.startswith(f"/{self.arguments[0]}/"):
                continue
            for method, operation in methods.items():
                yield from (f".. rubric:: {method.upper()} {path}", "", f"{operation['summary']}.", "")
                if "description" in operation:
                    yield from (operation["description"].replace("`", "``"), "")
                yield from self._parts(operation)

    def _parts(self, operation: Mapping[str, Any]) -> Iterator[str]:
        for parameter in operation["parameters"]:
            if parameter["in"] == "query":
                yield from (f"``?{parameter['name']}=``", f"   {parameter['description']}", "")
        if "requestBody" in operation:
            name = _schema_name(operation["requestBody"])
            yield from ("body", f"   {_schema_link(name)}", "")
        for status, response in operation["responses"].items():
            if status == "default":
                continue
            name = _schema_name(response)
            meaning = _escaped(response["description"]) if name == "Error" else _schema_link(name)
            yield from (f"``{status}``", f"   {meaning}", "")


class RestSchemas(_Generated):
    """
    The JSON objects.
    """

    required_arguments = 0

    def text(self) -> str:
        """
        All of them.
        """
        return "\n".join(self._lines(_openapi()["components"]["schemas"]))

    def _lines(self, schemas: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
        for name, schema in schemas.items():
            yield from (f".. _rest-{name}:", "", f".. rubric:: {name}", "")
            if "description" in schema:
                yield from (_escaped(schema["description"]) + ".", "")
            members = schema.get("properties", {})
            if not members:
                yield from (_kind(schema), "")
            required = schema.get("required", ())
            for member, kind in members.items():
                optional = "" if member in required else ", may be left out"
                yield from (f"``{member}``", f"   {_kind(kind)}{optional}", "")


def _kind(schema: Mapping[str, Any]) -> str:
    """
    A schema in a line of reStructuredText.
    """
    if "$ref" in schema:
        return _schema_link(schema["$ref"].rpartition("/")[2])
    if "oneOf" in schema:
        return " or ".join(_kind(each) for each in schema["oneOf"])
    if "enum" in schema:
        return "one of " + ", ".join(f"``{word}``" for word in schema["enum"])
    kind = schema.get("type", "anything")
    words = " or ".join(kind) if isinstance(kind, list) else str(kind)
    if "array" in words and "items" in schema:
        words += f" of {_kind(schema['items'])}"
    elif "object" in words and schema.get("properties"):
        words += " of " + ", ".join(f"``{each}``: {_kind(it)}" for each, it in schema["properties"].items())
    elif isinstance(schema.get("additionalProperties"), Mapping):
        words += f" of {_kind(schema['additionalProperties'])}"
    limits = [f"{text} {schema[key]}" for key, text in _LIMITS.items() if key in schema]
    described = [_escaped(schema["description"])] if "description" in schema else []
    return "; ".join([", ".join([words, *limits]), *described])


_LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "multipleOf": "a multiple of",
    "maxLength": "characters at most",
    "maxItems": "items at most",
    "maxProperties": "members at most",
}


# -- errors ------------------------------------------------------------------------------------------------------------


def error_classes(package: str) -> list[type[Exception]]:
    """
    The error classes that a package defines, by name.
    """
    root = importlib.import_module("flocker_py.errors").FlockerError
    top = importlib.import_module(package)
    for module in pkgutil.walk_packages(top.__path__, f"{package}."):
        if ".testing" not in module.name:
            importlib.import_module(module.name)
    # Those of the client have a section of their own.
    return sorted(
        (
            each
            for each in _below(root)
            if f"{each.__module__}.".startswith(f"{package}.")
            and ("client" in package or ".client." not in each.__module__)
        ),
        key=lambda each: each.__name__,
    )


def _below(root: type[Exception]) -> Iterator[type[Exception]]:
    for each in root.__subclasses__():
        yield each
        yield from _below(each)


class Errors(_Generated):
    """
    The errors of one package.
    """

    def text(self) -> str:
        """
        A definition list.
        """
        return "\n".join(self._lines(dict.fromkeys(error_classes(self.arguments[0]))))

    def _lines(self, classes: Iterable[type[Exception]]) -> Iterator[str]:
        for each in classes:
            lasting = " (lasting)" if getattr(each, "lasting", False) else ""
            meaning = " ".join(inspect.cleandoc(each.__doc__ or "").split())
            yield from (
                f"``{each.__name__}``{lasting}",
                f"   {meaning}",
                "",
            )


class Methods(_Generated):
    """
    The public methods of a class, given as ``module:name``.
    """

    def text(self) -> str:
        """
        A definition list.
        """
        module, _, name = self.arguments[0].partition(":")
        found = vars(getattr(importlib.import_module(module), name))
        shown = [each for each in found.values() if inspect.isroutine(each) and not each.__name__.startswith("_")]
        return "\n".join(line for each in shown for line in self._lines(each))

    def _lines(self, method: Callable[..., object]) -> Iterator[str]:
        parameters = [each for each in inspect.signature(method).parameters.values() if each.name != "self"]
        bare = [each.replace(annotation=inspect.Parameter.empty) for each in parameters]
        meaning, _, _ = inspect.cleandoc(method.__doc__ or "").partition("\n\n")
        yield from (f"``{method.__name__}{inspect.Signature(bare)}``", f"   {' '.join(meaning.split())}", "")


class Refusals(_Generated):
    """
    Codes of refusals with their HTTP status.
    """

    required_arguments = 0

    def text(self) -> str:
        """
        A table.
        """
        codes = importlib.import_module("flocker_control.refusals").RefusalCode
        rows = [f"   * - ``{each.text}``\n     - {each.status}" for each in codes]
        head = ".. list-table::\n   :header-rows: 1\n\n   * - code\n     - status\n"
        return head + "\n".join(rows)


class FaultPoints(_Generated):
    """
    The fault points.
    """

    required_arguments = 0

    def text(self) -> str:
        """
        A table.
        """
        points = runpy.run_path(str(ROOT / "tests" / "faults" / "points.py"))["ALL_POINTS"]
        rows = [f"   * - ``{each.name}``\n     - {_escaped(each.meaning)}" for each in points]
        head = ".. list-table::\n   :header-rows: 1\n\n   * - point\n     - then\n"
        return head + "\n".join(rows)


def setup(app: Sphinx) -> dict[str, bool]:
    """
    Make the directives known.
    """
    app.add_directive("module-docstring", ModuleDocstring)
    app.add_directive("command", CommandDirective)
    app.add_directive("rest-routes", RestRoutes)
    app.add_directive("rest-schemas", RestSchemas)
    app.add_directive("errors", Errors)
    app.add_directive("methods", Methods)
    app.add_directive("refusals", Refusals)
    app.add_directive("fault-points", FaultPoints)
    return {"parallel_read_safe": True}
