"""The containers' health check, against a server that answers as a service would."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from deploy.docker import health
from tests.engines import free_port


class _Service(HTTPServer):
    answers: dict[str, tuple[int, str]]


class _Handler(BaseHTTPRequestHandler):
    server: _Service

    def do_GET(self) -> None:
        status, text = self.server.answers[self.path]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def service() -> Iterator[_Service]:
    server = _Service(("127.0.0.1", 0), _Handler)
    server.answers = {"/health/ready": (200, "{}"), "/health/live": (200, "{}")}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: signals.append((pid, number)))
    return signals


def check(service: _Service, notes: Path, *arguments: str) -> int:
    return health.main([*arguments], {"READMIT_PORT": str(service.server_port)}, notes=notes)


def test_ready_is_healthy(service: _Service, tmp_path: Path) -> None:
    assert check(service, tmp_path) == 0


def test_not_ready_is_unhealthy_and_says_why(
    service: _Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.answers["/health/ready"] = (503, '{"database": "away"}')
    assert check(service, tmp_path) == 1
    assert capsys.readouterr().out == '503 {"database": "away"}\n'


def test_no_answer_is_unhealthy_and_ends_nothing(tmp_path: Path, killed: list[tuple[int, int]]) -> None:
    environ = {"READMIT_PORT": str(free_port())}
    assert [health.main(["--end-when-not-live"], environ, notes=tmp_path) for _ in range(5)] == [1] * 5
    assert killed == []


def test_not_live_three_times_in_a_row_ends_the_service(
    service: _Service, tmp_path: Path, killed: list[tuple[int, int]]
) -> None:
    def not_live(*, times: int) -> None:
        service.answers |= {"/health/ready": (503, "{}"), "/health/live": (503, "{}")}
        for _ in range(times):
            check(service, tmp_path, "--end-when-not-live")

    not_live(times=2)
    service.answers["/health/live"] = (200, "{}")
    check(service, tmp_path, "--end-when-not-live")  # live again: the count starts anew
    not_live(times=2)
    assert killed == []
    not_live(times=1)
    assert killed == [(1, signal.SIGTERM)]


def test_a_service_that_is_not_live_is_left_alone_unless_asked(
    service: _Service, tmp_path: Path, killed: list[tuple[int, int]]
) -> None:
    service.answers = {"/health/ready": (503, "{}"), "/health/live": (503, "{}")}
    assert [check(service, tmp_path) for _ in range(5)] == [1] * 5
    assert killed == []
