"""
Print the files of the pure cores, comma-separated: those that import-linter keeps free of I/O.
"""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE_ROOTS = {"flocker_control": "control", "flocker_agent": "agent", "flocker_admin": "admin"}


def main() -> None:
    """
    One list, in one place: pyproject.toml.
    """
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    cores = next(c["source_modules"] for c in contracts if c["name"] == "Cores do no I/O")
    paths = []
    for core in cores:
        package, *rest = core.split(".")
        paths.append("/".join(filter(None, [SOURCE_ROOTS.get(package), package, *rest])) + ".py")
    missing = [path for path in paths if not (ROOT / path).exists()]
    if missing:
        raise SystemExit(f"pyproject.toml names cores that don't exist: {', '.join(missing)}")
    print(",".join(paths))


if __name__ == "__main__":
    main()
