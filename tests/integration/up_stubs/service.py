"""Stands in for a service: healthy at once, accepts events, and stops being live when asked to."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

live = threading.Event()
live.set()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer(503 if self.path == "/health/live" and not live.is_set() else 200)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path == "/stop-being-live":
            live.clear()
            self._answer(200)
        else:
            events = json.loads(body)
            with Path(os.environ["STUB_CALLS"]).open("a") as calls:
                calls.write(f"{len(events)} events\n")
            self._answer(202, json.dumps({"accepted": len(events)}).encode())

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


if __name__ == "__main__":
    if os.environ.get("STUB_REFUSES") == sys.argv[-1]:
        sys.exit("READMIT_STUB is missing")
    # What a service starts must not outlive it either.
    subprocess.Popen(["sleep", "30"])
    ThreadingHTTPServer((os.environ["READMIT_HOST"], int(os.environ["READMIT_PORT"])), Handler).serve_forever()
