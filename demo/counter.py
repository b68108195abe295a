"""
The web application that is moved about, in a container: it counts in its volume, and shows how far it is.

===============  ====================================================================================================
``/``            a page that follows the count by itself
``/state``       where the count is, as JSON, and which run of the application says so
``POST /add/N``  count N further; answered once that is safe on disk, with the numbers and a CRC-32 of their records
===============  ====================================================================================================

Its records are those of the ledger. It needs Python's own library only, and listens at port 8000.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from demo.ledger import BALLAST_FOLDER, LEDGER_FILE, append, make_ballast, opened_ledger

PORT = 8000
MOST_AT_ONCE = 500
_PAGE = """\
<!doctype html>
<meta charset="utf-8"><title>counting</title>
<style>
body { font: 1.2rem system-ui, sans-serif; text-align: center; margin-top: 15vh }
#count { font-size: 6rem; font-variant-numeric: tabular-nums }
.away { color: #999 }
</style>
<p>This page is served from a container. Its count is in the container's volume.
<p id="count">…</p>
<p id="who"></p><p id="away">&nbsp;</p>
<script>
let last = performance.now(), run = null, starts = 0
async function look() {
  try {
    const state = await (await fetch("/state", {cache: "no-store", signal: AbortSignal.timeout(1000)})).json()
    const stood = (performance.now() - last) / 1000
    if (run !== null && run !== state.run)
      document.getElementById("away").textContent = `moved: nothing was heard for ${stood.toFixed(1)} s`
    if (run !== state.run) starts += 1
    run = state.run; last = performance.now()
    document.getElementById("count").textContent = state.last.toLocaleString("en")
    document.getElementById("who").textContent = `container ${state.host}, the ${starts}. that this page has seen`
    document.body.className = ""
  } catch {
    document.body.className = "away"
  }
  setTimeout(look, 100)
}
look()
</script>
"""


class Counter:
    """
    A count in a folder.

    :ivar run: which run of the application this is.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor, self.last, self.torn_bytes = opened_ledger(str(folder / LEDGER_FILE))
        self.found_last = self.last
        self.run = os.urandom(8).hex()
        self._one_at_a_time = threading.Lock()

    def add(self, count: int) -> dict[str, Any]:
        """
        Count further, and see it safely on disk.
        """
        with self._one_at_a_time:
            first, self.last = self.last + 1, self.last + count
            data = append(self._descriptor, first, count)
            return {**self.state(), "first": first, "crc": zlib.crc32(data)}

    def state(self) -> dict[str, Any]:
        """
        How far it is.
        """
        return {
            "run": self.run,
            "host": socket.gethostname(),
            "found": self.found_last,
            "torn": self.torn_bytes,
            "last": self.last,
        }


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    counter: Counter

    def do_GET(self) -> None:
        if self.path == "/":
            self._send(200, "text/html; charset=utf-8", _PAGE.encode())
        elif self.path == "/state":
            self._send_json(self.counter.state())
        else:
            self._send(404, "text/plain", b"there are /, /state and POST /add/N\n")

    def do_POST(self) -> None:
        number = self.path.removeprefix("/add/")
        if not number.isdecimal() or not number.isascii() or not 1 <= int(number) <= MOST_AT_ONCE:
            self._send(400, "text/plain", f"POST /add/N, N being 1 to {MOST_AT_ONCE}\n".encode())
        else:
            self._send_json(self.counter.add(int(number)))

    def _send_json(self, content: dict[str, Any]) -> None:
        self._send(200, "application/json", json.dumps(content).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *_: object) -> None:  # what the library calls it
        # A line for each request would be most of the log.
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # The library's own looks its address up in the DNS, which takes seconds where there is none.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "counter", self.server_address[1]


def main() -> None:
    """
    Serve until told to end.
    """
    folder = Path(os.environ.get("COUNTER_FOLDER", "/data"))
    ballast_mib = int(os.environ.get("COUNTER_BALLAST_MIB", "0"))
    if ballast_mib:
        make_ballast(str(folder / BALLAST_FOLDER), ballast_mib)
    _Answer.counter = Counter(folder)
    server = _Server(("", int(os.environ.get("COUNTER_PORT", PORT))), _Answer)
    # Process 1 of a container has to ask for it.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main()
