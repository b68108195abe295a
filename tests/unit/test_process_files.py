"""
What the process runtime and its supervisors write for one another. A supervisor of an older version is still running
when the agent has been upgraded, so these texts are a format to be kept.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flocker_agent.runtime.process_files import (
    EXITED,
    PHASES,
    STARTING,
    FileDamaged,
    Lease,
    Run,
    Status,
    StopRequest,
)

RUN = Run(
    token="0123456789abcdef",
    folder="/flocker/data",
    policy="on-failure",
    maximum_retry_count=3,
    stop_grace_seconds=10.0,
    log_path="/var/log/a.log",
    log_bytes=4096,
    command=["server", "--port=1", ""],
    environment={"PATH": "/bin", "EMPTY": "", "SUM": "1=1"},
)
RUN_TEXT = (
    "1\0"
    "0123456789abcdef\0/flocker/data\0on-failure\x003\x0010.0\0/var/log/a.log\x004096\0"
    "3\0server\0--port=1\0\0"
    "3\0EMPTY=\0PATH=/bin\0SUM=1=1\0"
)
STATUS = Status(
    token="0123456789abcdef",
    phase="running",
    boot="0d5c2a16",
    supervisor=100,
    supervisor_ticks=5000,
    pid=101,
    output_pipe=77,
    exit_status=-15,
    restarts=2,
    started_at_seconds=1700000000.25,
)
STATUS_TEXT = "1\x000123456789abcdef\0running\x000d5c2a16\x00100\x005000\x00101\x0077\0-15\x002\x001700000000.25\0"
BOUND = Status(token="t", phase="exited", boot="b", supervisor=1, supervisor_ticks=2, leased=True, stopped=True)
BOUND_TEXT = "1\0t\0exited\0b\x001\x002\x000\x000\0\x000\0\x001\x001\0"
LEASE = Lease(boot="0d5c2a16", ends_at_seconds=1234.5)
LEASE_TEXT = "1\x000d5c2a16\x001234.5\0"
STOP = StopRequest(token="0123456789abcdef", grace_seconds=1.5)
STOP_TEXT = "1\x000123456789abcdef\x001.5\0"

# What argument lists, environments and paths may contain.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


class TestGolden:
    """
    The formats do not change.
    """

    def test_run(self) -> None:
        """
        A run is written as it always was.
        """
        assert RUN_TEXT == RUN.to_text()

    def test_status(self) -> None:
        """
        A status is written as it always was.
        """
        assert STATUS_TEXT == STATUS.to_text()

    def test_status_with_a_lease(self) -> None:
        """
        What there is to say of leases comes at the end of a status, where there is anything.
        """
        assert BOUND_TEXT == BOUND.to_text()
        assert vars(BOUND) == vars(Status.from_text(BOUND_TEXT))

    def test_lease(self) -> None:
        """
        A lease is written as it always was, and read.
        """
        assert LEASE_TEXT == LEASE.to_text()
        assert vars(LEASE) == vars(Lease.from_text(LEASE_TEXT))

    @pytest.mark.parametrize("text", ["", "1\0b\0", "1\0b\0soon\0", "2\0b\x001.0\0"])
    def test_no_lease(self, text: str) -> None:
        """
        What is something else is taken for no lease.
        """
        with pytest.raises(FileDamaged):
            Lease.from_text(text)

    def test_stop(self) -> None:
        """
        A request to stop is written as it always was.
        """
        assert STOP_TEXT == STOP.to_text()


class TestRun:
    """
    What a supervisor executes.
    """

    def test_read(self) -> None:
        """
        A run is read as it was written.
        """
        assert vars(RUN) == vars(Run.from_text(RUN_TEXT))

    @given(
        command=st.lists(TEXTS),
        environment=st.dictionaries(TEXTS.filter(lambda name: "=" not in name), TEXTS),
        maximum_retry_count=st.none() | st.integers(0),
        stop_grace_seconds=st.floats(0, allow_infinity=False),
    )
    def test_read_all(
        self,
        command: list[str],
        environment: dict[str, str],
        maximum_retry_count: int | None,
        stop_grace_seconds: float,
    ) -> None:
        """
        Whatever words and variables an application has, its supervisor reads what the runtime wrote.
        """
        run = Run(
            token="t",
            folder="/",
            policy="always",
            maximum_retry_count=maximum_retry_count,
            stop_grace_seconds=stop_grace_seconds,
            log_path="/log",
            log_bytes=1,
            command=command,
            environment=environment,
        )

        assert vars(run) == vars(Run.from_text(run.to_text()))


class TestStatus:
    """
    How a run is going.
    """

    def test_read(self) -> None:
        """
        A status is read as it was written.
        """
        assert vars(STATUS) == vars(Status.from_text(STATUS_TEXT))

    @pytest.mark.parametrize("phase", PHASES)
    def test_read_of_one_that_begins(self, phase: str) -> None:
        """
        What is not known yet is read as not known.
        """
        status = Status(token="t", phase=phase, boot="b", supervisor=1, supervisor_ticks=2)

        assert vars(status) == vars(Status.from_text(status.to_text()))

    @pytest.mark.parametrize(
        ("phase", "exit_status", "started_at_seconds", "never_ran"),
        [
            (EXITED, 127, None, True),
            (EXITED, 127, 5.0, False),
            # Its supervisor was killed before it wrote down that it had started it: nobody knows.
            (EXITED, None, None, False),
            (STARTING, None, None, False),
        ],
    )
    def test_never_ran(
        self, phase: str, exit_status: int | None, started_at_seconds: float | None, never_ran: bool
    ) -> None:
        """
        What could not be executed the first time has never run.
        """
        status = Status(
            token="t",
            phase=phase,
            boot="b",
            supervisor=1,
            supervisor_ticks=2,
            exit_status=exit_status,
            started_at_seconds=started_at_seconds,
        )

        assert status.never_ran() is never_ran


class TestStopRequest:
    """
    A request to stop.
    """

    def test_read(self) -> None:
        """
        A request is read as it was written.
        """
        assert vars(STOP) == vars(StopRequest.from_text(STOP_TEXT))


class TestDamage:
    """
    What was cut short or is something else is never taken for half of what it was.
    """

    @pytest.mark.parametrize(("kind", "text"), [(Run, RUN_TEXT), (Status, STATUS_TEXT), (StopRequest, STOP_TEXT)])
    def test_cut(self, kind: type[Run | Status | StopRequest], text: str) -> None:
        """
        A file that lost its end, however little of it, is damaged.
        """
        for length in range(len(text)):
            with pytest.raises(FileDamaged):
                kind.from_text(text[:length])

    @pytest.mark.parametrize("kind", [Run, Status, StopRequest])
    @pytest.mark.parametrize("text", ["", "\0", "1", "2\0a\0b\0", "1\0a\0b\0c\0d\0e\0f\0g\0h\0i\0j\0", "garbage"])
    def test_something_else(self, kind: type[Run | Status | StopRequest], text: str) -> None:
        """
        What was never such a file is damaged.
        """
        with pytest.raises(FileDamaged):
            kind.from_text(text)

    def test_unknown_phase(self) -> None:
        """
        A phase that there is not is damage.
        """
        with pytest.raises(FileDamaged, match="sleeping"):
            Status.from_text(STATUS_TEXT.replace("running", "sleeping"))
