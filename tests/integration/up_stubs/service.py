"""Stands in for a service: healthy at once, live until told otherwise, with a child of its own."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

live = threading.Event()
live.set()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = 503 if self.path == "/health/live" and not live.is_set() else 200
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        live.clear()
        self.do_GET()

    def log_message(self, *_: object) -> None:
        return


if __name__ == "__main__":
    # What a service starts must not outlive it either.
    subprocess.Popen(["sleep", "300"])
    if os.environ.get("STUB_DIES") == sys.argv[-1]:
        sys.exit("READMIT_STUB is missing")
    ThreadingHTTPServer((os.environ["READMIT_HOST"], int(os.environ["READMIT_PORT"])), Handler).serve_forever()
