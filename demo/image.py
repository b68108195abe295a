"""
The image of the web application: this machine's own Python, and nothing that has to be fetched from anywhere.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from demo import counter
from flocker_admin.devcluster_runtime import engine
from flocker_py.errors import FlockerError

_REPOSITORY = "flocker-demo"
_NOT_NEEDED = ("test", "tests", "idlelib", "tkinter", "ensurepip", "lib2to3", "turtledemo", "pydoc_data",
               "site-packages", "dist-packages")  # fmt: skip
_LIBRARY = re.compile(r"(?:=> |^\t)(/\S+\.so\S*) \(", re.MULTILINE)
_APP_FOLDER = "/app"
_IMPORT_SECONDS = 120


class ImageRefused(FlockerError):
    """
    The image could not be made; what the system or Docker says is in the message. ``--runtime process`` needs none.
    """


@contextmanager
def counter_image(socket: str, tag: str, *, keep: bool) -> Iterator[str]:
    """
    The image, from ``with`` on to its end: what it is called.

    :param socket: where the engine listens.
    :param keep: leave it there.
    :raises ImageRefused: it can't be made.
    """
    from docker.errors import DockerException, NotFound

    name = f"{_REPOSITORY}:{tag}"
    command = [str(_python()), "-S", "-m", counter.__name__]
    changes = [f"ENV PYTHONPATH={_APP_FOLDER}", f"CMD {json.dumps(command)}", f"EXPOSE {counter.PORT}"]
    try:
        with engine(socket) as client:
            client.timeout = _IMPORT_SECONDS
            answer = client.import_image_from_data(_archive(), repository=_REPOSITORY, tag=tag, changes=changes)
    except DockerException as error:
        raise ImageRefused(str(error)) from error
    if '"error"' in answer:
        raise ImageRefused(answer.strip())
    try:
        yield name
    finally:
        if not keep:
            # Where the engine has gone meanwhile, that was said, and the image is no harm.
            with suppress(DockerException), engine(socket) as client, suppress(NotFound):
                client.remove_image(name)


def _python() -> Path:
    # Of the installation that a virtual environment is made from.
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found = [Path(sys.base_prefix) / "bin" / version, Path(sys.executable).resolve()]
    return next(path for path in found if path.exists()).resolve()


def _archive() -> bytes:
    """
    A root file system, as tar.
    """
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", dereference=True) as files:
        for folder in ("proc", "sys", "dev", "etc", "data"):
            files.addfile(_folder(folder, 0o755))
        files.addfile(_folder("tmp", 0o1777))
        library = Path(sysconfig.get_path("stdlib"))
        files.add(_python(), filter=_as_root)
        files.add(library, filter=_needed)
        for found in _libraries([_python(), *(library / "lib-dynload").glob("*.so")]):
            files.add(found, filter=_as_root)
        for name in ("ledger.py", "counter.py"):
            files.add(Path(__file__).with_name(name), f"{_APP_FOLDER}/demo/{name}", filter=_as_root)
    return content.getvalue()


def _folder(name: str, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    return entry


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


def _needed(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    path = Path(entry.name)
    if path.name in _NOT_NEEDED or path.name.startswith("config-") or ".opt-" in path.name:
        return None
    return _as_root(entry) if entry.isdir() or path.suffix in (".py", ".pyc", ".so") else None


def _libraries(programs: Iterable[Path]) -> list[str]:
    # What one of them lacks, its module lacks on this machine, too.
    told = subprocess.run(["ldd", *programs], check=False, capture_output=True, text=True)
    found = sorted(set(_LIBRARY.findall(told.stdout)))
    if not found:
        raise ImageRefused(f"ldd doesn't say which libraries Python needs: {told.stderr.strip()}")
    return found
