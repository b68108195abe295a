"""
The OpenAPI 3.1 document of all routes, from the schemas that validate them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from flocker_control.http.routes import Route
from flocker_control.http.schemas import ref
from flocker_control.http.validation import Schemas
from flocker_py import __version__

_VARIABLE = re.compile(r"<([a-z_]+)>")


def document(routes: Iterable[Route], schemas: Schemas) -> dict[str, Any]:
    """
    What the API can do, as a JSON value.
    """
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = _VARIABLE.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "flocker_py control service",
            "version": __version__,
            "description": "Volumes follow their containers. Every client shows a user's certificate of the cluster.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "components": {"schemas": dict(schemas.by_name)},
        "paths": paths,
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.path.split("/")[1]],
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in _VARIABLE.findall(route.path)
            ),
            *(
                {"name": name, "in": "query", "schema": {"type": "string"}, "description": meaning}
                for name, meaning in sorted(route.query.items())
            ),
            *(
                {"name": name, "in": "header", "schema": {"type": "string"}, "description": meaning}
                for name, meaning in sorted(route.headers.items())
            ),
        ],
        "responses": {
            **{str(status): _content(route, name) for status, name in sorted(route.answers.items())},
            **{str(status): _error(meaning) for status, meaning in sorted(route.errors.items())},
            "default": _error("Something else is wrong; the description says what."),
        },
    }
    if route.description:
        operation["description"] = route.description
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": ref(route.body)}}}
    return operation


def _content(route: Route, name: str) -> dict[str, Any]:
    content: dict[str, Any] = {"description": name, "content": {route.content_type: {"schema": ref(name)}}}
    if route.answer_headers:
        content["headers"] = {
            header: {"description": meaning, "required": True, "schema": {"type": "string"}}
            for header, meaning in sorted(route.answer_headers.items())
        }
    return content


def _error(meaning: str) -> dict[str, Any]:
    return {"description": meaning, "content": {"application/json": {"schema": ref("Error")}}}
