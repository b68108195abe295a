"""
The document that describes the API, as the service publishes it.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.v1.client import Client

ROUTES = (
    ("get", "/v1/version"),
    ("get", "/v1/state/nodes"),
    ("get", "/v1/state/nodes/by_era/{era}"),
    ("get", "/v1/configuration/datasets"),
    ("post", "/v1/configuration/datasets"),
    ("post", "/v1/configuration/datasets/{dataset_id}"),
    ("delete", "/v1/configuration/datasets/{dataset_id}"),
    ("get", "/v1/state/datasets"),
    ("get", "/v1/configuration/leases"),
    ("post", "/v1/configuration/leases"),
    ("delete", "/v1/configuration/leases/{dataset_id}"),
    ("get", "/v1/configuration/containers"),
    ("get", "/v1/state/containers"),
    ("post", "/v1/configuration/containers"),
    ("post", "/v1/configuration/containers/{name}"),
    ("delete", "/v1/configuration/containers/{name}"),
    ("post", "/v1/configuration/_compose"),
)


@pytest.fixture(scope="module")
def document(client: Client) -> dict[str, Any]:
    """
    The document.
    """
    found: dict[str, Any] = client.get("/v2/openapi.json").body
    return found


def test_all_routes_of_flocker(document: dict[str, Any]) -> None:
    """
    All routes of Flocker are there, and no others under ``/v1``.
    """
    found = {(method, path) for path, methods in document["paths"].items() for method in methods if "/v1/" in path}

    assert set(ROUTES) == found


def test_both_versions(document: dict[str, Any]) -> None:
    """
    One document has both versions.
    """
    assert {"v1", "v2"} == {path.split("/")[1] for path in document["paths"]}


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_schemas(document: dict[str, Any], method: str, path: str) -> None:
    """
    Each route has schemas of its good answers and its errors, and of its body if it takes one.
    """
    operation = document["paths"][path][method]
    answers = {status: each["content"]["application/json"]["schema"] for status, each in operation["responses"].items()}

    assert ("post" == method, "#/components/schemas/Error") == ("requestBody" in operation, answers["default"]["$ref"])
    for reference in {each["$ref"].rpartition("/")[2] for each in answers.values()}:
        assert reference in document["components"]["schemas"]


@pytest.mark.parametrize(
    ("method", "path"), [route for route in ROUTES if "configuration/datasets" in route[1] and route[0] != "get"]
)
def test_condition(document: dict[str, Any], method: str, path: str) -> None:
    """
    Where a condition is looked at, it is described.
    """
    names = [each["name"] for each in document["paths"][path][method]["parameters"]]

    assert "X-If-Configuration-Matches" in names


def test_tag(document: dict[str, Any]) -> None:
    """
    So is the tag.
    """
    answer = document["paths"]["/v1/configuration/datasets"]["get"]["responses"]["200"]

    assert "X-Configuration-Tag" in answer["headers"]
