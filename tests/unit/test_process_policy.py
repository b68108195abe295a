"""
When an application is started again, and after which wait.
"""

from __future__ import annotations

import pytest

from flocker_agent.runtime.process_policy import ALWAYS, NEVER, ON_FAILURE, next_wait_seconds, starts_again


class TestStartsAgain:
    """
    The table of policies.
    """

    @pytest.mark.parametrize(
        ("policy", "maximum", "exit_status", "restarts", "again"),
        [
            (NEVER, None, 0, 0, False),
            (NEVER, None, 1, 0, False),
            (ALWAYS, None, 0, 0, True),
            (ALWAYS, None, 1, 1000, True),
            (ON_FAILURE, None, 0, 0, False),
            (ON_FAILURE, None, 1, 1000, True),
            (ON_FAILURE, None, -9, 0, True),
            (ON_FAILURE, 0, 1, 0, False),
            (ON_FAILURE, 2, 1, 1, True),
            (ON_FAILURE, 2, 1, 2, False),
            (ON_FAILURE, 2, 0, 1, False),
        ],
    )
    def test_table(self, policy: str, maximum: int | None, exit_status: int, restarts: int, again: bool) -> None:
        """
        Each policy starts an application again exactly in its own cases, a maximum limits failures only.
        """
        assert again == starts_again(policy, maximum, exit_status=exit_status, restarts=restarts)


class TestNextWait:
    """
    The waits between runs.
    """

    def test_waits_double_to_a_limit(self) -> None:
        """
        An application that fails again and again is started after 0.1 s, then twice as long each time, up to 10 s.
        """
        waits = [0.0]
        for _ in range(9):
            waits.append(next_wait_seconds(waits[-1], ran_seconds=0.0))

        assert [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0] == waits[1:]

    def test_a_long_run_begins_a_new_row(self) -> None:
        """
        After a run of 10 s the wait is the first again.
        """
        assert 0.1 == next_wait_seconds(10.0, ran_seconds=10.0)

    def test_a_short_run_does_not(self) -> None:
        """
        A run that was a little shorter doubles the wait.
        """
        assert 6.4 == next_wait_seconds(3.2, ran_seconds=9.9)
