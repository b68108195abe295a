"""
Images for real engines, made of this machine's own files: no registry is asked.

They take half a second to make, so nothing of them is kept.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.engines import Host, import_image

POSTGRESQL_IMAGE = "flocker-test/postgresql:1"
WEB_IMAGE = "flocker-test/web:1"
DATA = "/data"
"""Where both expect their volume."""

_BUSYBOX = Path("/bin/busybox")
_SHARED = Path("/usr/share/postgresql")
# Debian's own numbers are given out at installation; an image has one of its own.
_USER = 999
_EXTENSIONS = ("plpgsql.so", "dict_snowball.so", "amcheck.so")

# The signal that Docker sends would have PostgreSQL wait for its clients to leave.
_POSTGRESQL_COMMAND = """#!/bin/sh
set -e
as="{setpriv} --reuid {user} --regid {user} --clear-groups"
if [ ! -e {data}/postgresql ]; then
    rm -rf {data}/new
    mkdir -m 700 {data}/new
    chown {user}:{user} {data}/new
    $as initdb -D {data}/new -U postgres -A trust -E UTF8 --locale=C.UTF-8 --data-checksums
    echo 'host all all 0.0.0.0/0 trust' >>{data}/new/pg_hba.conf
    sync
    mv {data}/new {data}/postgresql
fi
trap 'kill -INT $server' TERM
$as postgres -D {data}/postgresql -c 'listen_addresses=*' -c unix_socket_directories=/tmp \\
    -c shared_buffers=32MB -c max_connections=40 -c jit=off &
server=$!
while kill -0 $server 2>/dev/null; do wait $server; done
"""

# A page that counts how often it was asked for, and answers only once the number is on disk. One at a time.
_WEB_PAGE = """#!/bin/sh
cd {data}
exec 9>lock
flock 9
count=$(($(cat count 2>/dev/null || echo 0) + 1))
echo $count >count.new && sync count.new && mv count.new count && sync .
printf 'Content-Type: text/plain\\r\\n\\r\\n%s\\n' $count
"""
# A page that counts in a database, which it finds by the environment that a link gives it.
_VISITS_PAGE = """#!/bin/sh
exec 2>&1
printf 'Content-Type: text/plain\\r\\n\\r\\n'
PGCONNECT_TIMEOUT=5 psql -X -q -A -t -h "$DB_PORT_5432_TCP_ADDR" -p "$DB_PORT_5432_TCP_PORT" -U postgres <<END
SET client_min_messages = warning;
CREATE TABLE IF NOT EXISTS visits (at timestamptz);
INSERT INTO visits VALUES (now());
SELECT count(*) FROM visits;
END
"""
# Told of a witness, it begins once that has seen it, and ends with the connection to it.
_WEB_COMMAND = """#!/bin/sh
trap 'kill $server' TERM
if [ -n "$WITNESS" ]; then
    rm -f /tmp/silence /tmp/seen
    mkfifo /tmp/silence /tmp/seen
    (nc $WITNESS <>/tmp/silence >/tmp/seen; kill $$) &
    read seen </tmp/seen || exit 9
fi
httpd -f -p 80 -h /www &
server=$!
wait $server
"""


def postgresql_programs() -> Path | None:
    """
    The folder with the programs of this machine's newest PostgreSQL, server and clients; None: there is none.
    """
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    found = [path for path in found if all((path / name).exists() for name in ("psql", "pgbench", "pg_amcheck"))]
    return max(found, key=lambda path: int(path.parent.name), default=None)


def postgresql_missing() -> str | None:
    """
    What lacks for the image, and for its clients; None: nothing.
    """
    return None if postgresql_programs() is not None else "PostgreSQL is not installed (Debian: postgresql-15)"


def import_postgresql(host: Host) -> None:
    """
    Give an engine the image of a database server, which anybody may use as ``postgres`` without a password.

    With the command ``serve-visits`` it is a web application on port 80, which has no data of its own:
    ``/cgi-bin/visits`` counts in the database that it is linked to as ``db``.
    """
    programs = postgresql_programs()
    assert programs is not None
    version = programs.parent.name
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        _lay_busybox(root)
        setpriv = Path(_required("setpriv"))
        there = [programs / name for name in ("postgres", "initdb", "psql")]
        there += [programs.parent / "lib" / name for name in _EXTENSIONS]
        there.append(setpriv)
        _copy([*there, *_libraries(there)], root)
        shutil.copytree(_SHARED / version, root / str(_SHARED / version)[1:], ignore=shutil.ignore_patterns("man"))
        shutil.copytree("/usr/share/zoneinfo/Etc", root / "usr/share/zoneinfo/Etc")
        shutil.copytree("/usr/lib/locale/C.utf8", root / "usr/lib/locale/C.utf8")
        (root / "etc/passwd").write_text(f"root:x:0:0::/:/bin/sh\npostgres:x:{_USER}:{_USER}::/tmp:/bin/sh\n")
        (root / "etc/group").write_text(f"root:x:0:\npostgres:x:{_USER}:\n")
        (root / "www/cgi-bin").mkdir(parents=True)
        _program(root / "www/cgi-bin/visits", _VISITS_PAGE)
        _program(root / "bin/serve-visits", _WEB_COMMAND)
        _program(root / "bin/serve", _POSTGRESQL_COMMAND.format(user=_USER, data=DATA, setpriv=setpriv))
        path = f"{programs}:/bin"
        import_image(host, POSTGRESQL_IMAGE, _archive(root), [f"ENV PATH={path}", 'CMD ["/bin/serve"]'])


def import_web(host: Host) -> None:
    """
    Give an engine the image of a web application on port 80: ``/cgi-bin/count`` counts in its volume. The variable
    ``WITNESS`` tells it of a ``tests.witness.Witness``.
    """
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        _lay_busybox(root)
        flock = Path(_required("flock"))
        _copy([flock, *_libraries([flock])], root)
        (root / "www/cgi-bin").mkdir(parents=True)
        _program(root / "www/cgi-bin/count", _WEB_PAGE.format(data=DATA))
        _program(root / "bin/serve", _WEB_COMMAND)
        import_image(host, WEB_IMAGE, _archive(root), [f"ENV PATH=/bin:{flock.parent}", 'CMD ["/bin/serve"]'])


def _required(program: str) -> str:
    found = shutil.which(program)
    assert found is not None, f"{program} is not installed (Debian: util-linux)"
    return found


def _lay_busybox(root: Path) -> None:
    for name in ("bin", "etc", "proc", "sys", "dev", "run", "tmp", DATA[1:]):
        (root / name).mkdir()
    (root / "tmp").chmod(0o1777)
    shutil.copy(_BUSYBOX, root / "bin/busybox")
    listed = subprocess.run([_BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split()
    for name in listed:
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")


def _libraries(programs: Iterable[Path]) -> list[Path]:
    told = subprocess.run(["ldd", *programs], check=True, capture_output=True, text=True).stdout
    return sorted({Path(found) for found in re.findall(r"(?:=> |^\t)(/\S+\.so\S*) \(", told, re.MULTILINE)})


def _copy(paths: Iterable[Path], root: Path) -> None:
    for path in paths:
        copy = root / str(path)[1:]
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _archive(root: Path) -> bytes:
    # Whoever runs the tests, the files of an image are root's.
    command = ["tar", "-C", str(root), "--owner=0", "--group=0", "-c", "."]
    return subprocess.run(command, check=True, capture_output=True, env={**os.environ, "LC_ALL": "C"}).stdout
