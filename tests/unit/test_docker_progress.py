from typing import Any

import pytest

from flocker_agent.runtime.docker_engine import Progress

LAYER = {"id": "a", "status": "Downloading", "progressDetail": {"current": 10, "total": 30}}


def test_further() -> None:
    """
    The time of the last progress is kept; who says the same again got no further, whatever others of it say in between.
    """
    progress = Progress(0.0)
    lines: list[dict[str, Any]] = [LAYER, {"id": "b", "status": "Waiting"}, LAYER, {"id": "b", "status": "Waiting"}]
    made = [progress.made(line, float(now)) for now, line in enumerate(lines, start=1)]

    assert (made, progress.at_seconds) == ([True, True, False, False], 2.0)


@pytest.mark.parametrize(
    "line",
    [
        {**LAYER, "progressDetail": {"current": 11, "total": 30}},
        {**LAYER, "status": "Extracting"},
        {"id": "a", "status": "Pull complete", "progressDetail": {}},
        {"status": "Digest: sha256:1"},
    ],
)
def test_news(line: dict[str, Any]) -> None:
    progress = Progress(0.0)
    progress.made(LAYER, 1.0)

    assert (progress.made(line, 7.0), progress.at_seconds) == (True, 7.0)
