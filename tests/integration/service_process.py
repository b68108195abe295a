"""
The control service as a process, and a plain client of it.
"""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from flocker_py.testing.certificates import ClusterCertificates

T = TypeVar("T")
DEADLINE_SECONDS = 60.0


class Service:
    """
    A control service that is ready.
    """

    def __init__(self, process: subprocess.Popen[str], port: int, certificates: ClusterCertificates) -> None:
        self.process = process
        self._port = port
        user = certificates.user
        self._tls = ssl.create_default_context(cafile=str(user.ca_path))
        self._tls.load_cert_chain(user.certificate_path, user.key_path)

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """
        A request's status and JSON.
        """
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=self._tls, timeout=DEADLINE_SECONDS)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, Any]:
        """
        A GET.
        """
        return self.call("GET", path)

    def post(self, path: str, body: object) -> tuple[int, Any]:
        """
        A POST.
        """
        return self.call("POST", path, body)

    def until(self, look: Callable[[], T]) -> T:
        """
        Look until there is something to see.
        """
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            found = look()
            if found:
                return found
            assert time.monotonic() < deadline, "it never came"
            time.sleep(0.05)


def command(data: Path, certificates: ClusterCertificates, log: Path | None) -> list[str]:
    """
    The command line of a control service on any free ports of loopback.
    """
    program = Path(sys.executable).with_name("flocker-control")
    options = {
        "--data-path": data,
        "--certificates": certificates.directory / "control-service",
        "--address": "127.0.0.1",
        "--port": 0,
        "--agent-port": 0,
        "--log-file": data.with_suffix(".log") if log is None else log,
    }
    return [str(program), *(str(part) for option in options.items() for part in option)]


@contextmanager
def running(data: Path, certificates: ClusterCertificates, *options: str, log: Path | None = None) -> Iterator[Service]:
    """
    A control service that is ready; in the end it is killed.
    """
    with subprocess.Popen([*command(data, certificates, log), *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            yield Service(process, int(ready.split(" 127.0.0.1:")[1].split(",")[0]), certificates)
        finally:
            process.kill()


def refused_start(
    data: Path, certificates: ClusterCertificates, *options: str, log: Path | None = None, prefix: Sequence[str] = ()
) -> tuple[int, str]:
    """
    The exit status and the words of a control service that doesn't start.
    """
    done = subprocess.run(
        [*prefix, *command(data, certificates, log), *options],
        check=False,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
    )
    return done.returncode, done.stderr
