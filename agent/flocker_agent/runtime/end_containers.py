"""
End all containers that an agent left running when it ended, and forget them: for taking a node down as a whole.

``python -m flocker_agent.runtime.end_containers FOLDER``, where FOLDER is ``state_path`` of ``runtime`` in the agent's
``agent.yml``. Started again, the agent starts what is wanted of it anew. Exit status: 0 done; 1 something still runs.
"""

from __future__ import annotations

import sys
from pathlib import Path

from flocker_agent.runtime.process import ProcessRuntime
from flocker_py.errors import explanation
from flocker_py.runtime import ContainerRuntimeError


def end_containers(state_path: Path) -> list[str]:
    """
    End and forget every container of the runtime ``process`` with this folder. Its agent must not be running.

    :returns: why something was not ended, one text for each such container.
    """
    runtime = ProcessRuntime(state_path)
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
    End the containers of the folder that is the argument.
    """
    complaints = end_containers(Path(sys.argv[1]))
    for complaint in complaints:
        print(complaint, file=sys.stderr)  # a program's own words
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
