"""
End all containers that an agent left running when it ended, and forget them: for taking a node down as a whole.

``python -m flocker_agent.runtime.end_containers FILE``, where FILE is the agent's ``agent.yml``. Started again, the
agent starts what is wanted of it anew. Exit status: 0 done; 1 something still runs, or nobody knows.
"""

from __future__ import annotations

import sys
from pathlib import Path

from flocker_agent.runtime.runtimes import opened_runtime
from flocker_agent.settings import read_settings
from flocker_py.errors import FlockerError, explanation
from flocker_py.runtime import ContainerRuntimeError, Runtime


def end_containers(runtime: Runtime) -> list[str]:
    """
    End and forget every container of a runtime. Its agent must not be running.

    :returns: why something was not ended, one text for each such container.
    """
    complaints = []
    for name in sorted(runtime.containers()):
        try:
            runtime.stop(name, grace_seconds=runtime.definition(name).stop_grace_seconds)
            runtime.remove(name)
        except ContainerRuntimeError as error:
            complaints.append(explanation(error))
    return complaints


def main() -> None:
    """
    End the containers of the agent whose settings are the argument.
    """
    try:
        settings = read_settings(Path(sys.argv[1]))
        complaints = end_containers(opened_runtime({"backend": settings.runtime, **settings.runtime_settings}))
    except FlockerError as error:
        complaints = [explanation(error)]
    for complaint in complaints:
        print(complaint, file=sys.stderr)  # a program's own words
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
