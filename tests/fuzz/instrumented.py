"""
One target under atheris, in this process: ``python -m tests.fuzz.instrumented TARGET FOLDER [OPTIONS OF LIBFUZZER]``.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["flocker_py", "flocker_control", "flocker_agent", "flocker_admin"]):
    from tests.fuzz.targets import TARGETS, saved


def main() -> None:
    """
    Fuzz for as long as the options say.
    """
    name, folder = sys.argv[1], Path(sys.argv[2])
    target = TARGETS[name]
    logging.disable(logging.CRITICAL)
    for seed in (*target.seeds(), *(path.read_bytes() for path in saved(name))):
        (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
