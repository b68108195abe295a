"""
Options of the control service that make no sense are refused at once.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from flocker_control.main import main


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("0", "it must be at least 1h"),
        ("59min", "it must be at least 1h"),
        ("-5d", "'-5d' is not a duration"),
        ("a month", "'a month' is not a duration"),
        ("nan", "'nan' is not a duration"),
        ("4000d", "is not between 0 seconds and ten years"),
        ("", "'' is not a duration"),
    ],
)
def test_time_that_stashes_are_kept(tmp_path: Path, written: str, text: str) -> None:
    """
    What would destroy a stash before anybody has looked at it, or is no time at all, is refused with the option's name.
    """
    result = CliRunner().invoke(main, ["--data-path", str(tmp_path / "data"), "--keep-stashes", written])

    assert (result.exit_code, "--keep-stashes" in result.output) == (2, True)
    assert text in " ".join(result.output.split())
    assert not (tmp_path / "data").exists()
