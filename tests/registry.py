"""
A registry of images, as far as an engine asks one to fetch from it: one image, for those who know the password.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from uuid import uuid4

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_CONFIG = "application/vnd.docker.container.image.v1+json"


class Registry:
    """
    :param files: all files of the image, as a tar archive.
    :param password: for a user of any name.
    :param inside: while it is entered, sockets are those of the host where the registry listens.
    :ivar digest: by which the image is known.
    :ivar hangs_at: what is asked for under a path with this in it isn't answered until ``goes_on`` is set.
    """

    def __init__(self, files: bytes, *, password: str, inside: Callable[[], AbstractContextManager[Any]]) -> None:
        config = {
            # So that its configuration is fetched, whatever the engine has of other registries.
            "author": str(uuid4()),
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": ["sleep", "1000"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(files)]},
        }
        layer = gzip.compress(files, 1, mtime=0)
        self._blobs = {_digest(blob): blob for blob in (json.dumps(config).encode(), layer)}
        (config_digest, layer_digest) = self._blobs
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "size": len(self._blobs[config_digest]), "digest": config_digest},
            "layers": [{"mediaType": _LAYER, "size": len(layer), "digest": layer_digest}],
        }
        self._manifest = json.dumps(manifest).encode()
        self.digest = _digest(self._manifest)
        self._password = password
        self.fetched = 0
        self.hangs_at: str | None = None
        self.goes_on = threading.Event()
        registry = self

        class Answering(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry._answer(self)

            def do_HEAD(self) -> None:
                registry._answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        with inside():
            self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.address = f"localhost:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.goes_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, asked: BaseHTTPRequestHandler) -> None:
        if self.hangs_at is not None and self.hangs_at in asked.path:
            self.goes_on.wait()
        if not self._knows_password(asked.headers.get("Authorization", "")):
            self._send(asked, 401, b"{}", {"WWW-Authenticate": 'Basic realm="images"'})
        elif re.fullmatch(r"/v2/", asked.path):
            self._send(asked, 200, b"{}", {})
        elif found := re.fullmatch(r"/v2/private/app/manifests/(.*)", asked.path):
            if found[1] in ("latest", "7", self.digest):
                self.fetched += 1
                self._send(
                    asked, 200, self._manifest, {"Content-Type": _MANIFEST, "Docker-Content-Digest": self.digest}
                )
            else:
                self._send(asked, 404, b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}', {})
        elif (found := re.fullmatch(r"/v2/private/app/blobs/(.*)", asked.path)) and found[1] in self._blobs:
            self._send(asked, 200, self._blobs[found[1]], {"Content-Type": "application/octet-stream"})
        else:
            self._send(asked, 404, b"{}", {})

    def _knows_password(self, authorization: str) -> bool:
        kind, _, told = authorization.partition(" ")
        return kind == "Basic" and base64.b64decode(told).decode().endswith(f":{self._password}")

    @staticmethod
    def _send(asked: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
        asked.send_response(status)
        for name, text in {"Content-Type": "application/json", **headers}.items():
            asked.send_header(name, text)
        asked.send_header("Content-Length", str(len(body)))
        asked.end_headers()
        if asked.command == "GET":
            asked.wfile.write(body)


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
