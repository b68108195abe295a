"""
A container engine as far as the volume plugin asks one: which running containers have which volumes mounted.
"""

from __future__ import annotations

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Self


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class EngineStandIn:
    """
    :ivar volumes: of its running containers; None: it answers with an error.
    :ivar asked: how often it was.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.volumes: list[str] | None = []
        self.asked = 0
        engine = self

        class Answering(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                engine.asked += 1
                volumes = engine.volumes
                mounts = [{"Type": "volume", "Name": name, "Driver": "flocker"} for name in volumes or ()]
                body = json.dumps([{"Id": "c", "Mounts": [*mounts, {"Type": "bind", "Source": "/x"}]}]).encode()
                self.send_response(200 if volumes is not None and self.path == "/containers/json" else 500)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def address_string(self) -> str:
                return "unix"

        self._server = _Server(str(path), Answering)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
