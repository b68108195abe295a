"""
How answers of the control service are read.
"""

from __future__ import annotations

from typing import Any

import pytest

from flocker_py.client.views import DatasetsView, DatasetView, NodesView, PlanView, complaints, view
from flocker_py.documents import Complaint
from flocker_py.wire import WireError

N1 = "11111111-1111-4111-8111-111111111111"
PG = "dddddddd-dddd-4ddd-8ddd-dddddddddddd"

DATASET: dict[str, Any] = {
    "dataset_id": PG,
    "name": "pg",
    "primary": N1,
    "owner": N1,
    "epoch": 1,
    "created": True,
    "deleted": False,
    "maximum_size_bytes": None,
    "metadata": {"a": "b"},
    "move": None,
    "last_move": None,
    "status": "ok",
    "settling": [N1],
}


def test_answer_is_a_record() -> None:
    """
    An answer is read with everything in it.
    """
    assert str(view(DatasetView, DATASET).settling[0]) == N1


def test_what_is_new_is_passed_over() -> None:
    """
    A newer service may say more, at any depth.
    """
    newer = {"revision": 1, "datasets": [{**DATASET, "colour": "blue"}], "page": 1}

    assert view(DatasetsView, newer) == view(DatasetsView, {"revision": 1, "datasets": [DATASET]})


def test_what_may_be_null_may_be_missing() -> None:
    """
    A service that doesn't know a field that may be null is taken to say null.
    """
    assert view(DatasetView, DATASET).waiting_for is None


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"revision": 1, "datasets": [{**DATASET, "epoch": "one"}]}, r"\$\.datasets\[0\]\.epoch"),
        ({"datasets": []}, r"\$\.revision"),
        ([], r"\$"),
        ({"revision": 1, "datasets": {}}, r"\$\.datasets"),
    ],
)
def test_what_does_not_fit_is_refused(data: object, place: str) -> None:
    """
    An answer of another form is an error that names the place.
    """
    with pytest.raises(WireError, match=place):
        view(DatasetsView, data)


def test_lists_of_texts_are_read() -> None:
    """
    A list of plain values is read as it is.
    """
    data = {"revision": 1, "steps": [], "unmanaged": [], "warnings": ["careful"]}

    assert list(view(PlanView, data).warnings) == ["careful"]


def test_node_that_is_away() -> None:
    """
    What only the agent knows is null while it is away.
    """
    node = {"node_id": N1, "name": "n1", "address": None, "connected": False, "storage": None, "failures": []}

    assert view(NodesView, {"revision": 0, "nodes": [node]}).nodes[0].free_bytes is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            {"errors": [{"pointer": ["volumes", "pg", 0], "text": "x"}]},
            [Complaint(pointer=("volumes", "pg", 0), text="x")],
        ),
        ({"errors": [{"pointer": [1.5], "text": "x"}, {"text": "y"}, 7, {"pointer": "a", "text": "z"}]}, []),
        ({"errors": "x"}, []),
        ({}, []),
        ("incident", []),
    ],
)
def test_complaints_of_the_service(data: object, expected: list[Complaint]) -> None:
    """
    Errors that point into the document become complaints; whatever else there is, is none.
    """
    assert complaints(data) == expected
