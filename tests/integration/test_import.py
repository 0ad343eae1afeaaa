"""`readmit import` against a small stand-in for intake."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.commands import intake_client
from deploy.commands.event_file import batches
from deploy.commands.import_events import import_events
from deploy.errors import CommandError

Answer = tuple[int, dict[str, str], bytes]
REFUSED = json.dumps({"title": "Unprocessable", "errors": [{"index": 1, "reason": "unknown type"}]}).encode()


@dataclass
class Intake:
    """Gives the answers that it was told, then accepts."""

    answers: list[Answer | None] = field(default_factory=list)
    accepted: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def decide(self, headers: dict[str, str], body: bytes) -> Answer | None:
        self.headers.append(headers)
        if self.answers:
            return self.answers.pop(0)
        events = json.loads(body)
        self.accepted += events
        return 202, {}, json.dumps({"accepted": len(events)}).encode()


@pytest.fixture
def intake() -> Iterator[Intake]:
    state = Intake()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = state.decide(dict(self.headers), self.rfile.read(int(self.headers["Content-Length"])))
            if answer is None:
                return  # closes the connection without an answer
            status, headers, body = answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield state
        server.shutdown()
        thread.join()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Instead of waiting, notes for how long it would have."""
    noted: list[float] = []
    original = intake_client.IntakeClient.__init__

    def without_waiting(self: intake_client.IntakeClient, url: str, token: Callable[[], str], **hooks: object) -> None:
        original(self, url, token, sleep=noted.append, **hooks)  # type: ignore[arg-type]

    monkeypatch.setattr(intake_client.IntakeClient, "__init__", without_waiting)
    return noted


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps({"id": str(number)}) + "\n" for number in range(2500)))
    return path


def run(intake: Intake, file: Path) -> None:
    import_events(file, url=intake.url, token="a-token", state=None)


def test_all_events_arrive_in_order(intake: Intake, file: Path) -> None:
    run(intake, file)
    assert [event["id"] for event in intake.accepted] == [str(number) for number in range(2500)]
    assert len(intake.headers) == 3
    assert intake.headers[0]["Authorization"] == "Bearer a-token"
    assert intake.headers[0]["Content-Type"] == "application/cloudevents-batch+json"
    assert [path.name for path in file.parent.iterdir()] == ["events.jsonl"]


def test_it_waits_as_long_as_intake_asks(intake: Intake, file: Path, pauses: list[float]) -> None:
    intake.answers = [(503, {"Retry-After": "7"}, b"{}"), (429, {}, b"{}"), (503, {}, b"not json"), None]
    run(intake, file)
    assert len(intake.accepted) == 2500
    assert pauses == [7.0, 1.0, 2.0, 4.0]


def test_a_refused_event_is_named_by_its_line_and_nothing_is_skipped(intake: Intake, file: Path) -> None:
    intake.answers = [(202, {}, b'{"accepted": 1000}'), (422, {}, REFUSED)]
    with pytest.raises(CommandError) as refusal:
        run(intake, file)
    assert "line 1002: unknown type" in str(refusal.value)
    # Put right, the same command goes on behind what was accepted.
    run(intake, file)
    assert [event["id"] for event in intake.accepted] == [str(number) for number in range(1000, 2500)]
    assert not file.with_name("events.jsonl.import-state").exists()


@pytest.mark.parametrize(
    ("status", "said"), [(401, "The token is missing"), (403, "scope readmit.events"), (404, "intake's address")]
)
def test_a_refusal_says_what_to_do(intake: Intake, file: Path, status: int, said: str) -> None:
    intake.answers = [(status, {}, b"{}")]
    with pytest.raises(CommandError, match=said):
        run(intake, file)


def test_it_gives_up_after_ten_minutes_without_progress(
    intake: Intake, file: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.commands.intake_client.time.monotonic", lambda: sum(pauses))
    intake.answers = [(503, {}, b"{}")] * 100
    with pytest.raises(CommandError, match="Run the same command again to resume"):
        run(intake, file)
    assert 600 <= sum(pauses) < 700


def test_a_token_in_a_file_is_read_again(
    intake: Intake, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    monkeypatch.setenv("READMIT_TOKEN_FILE", str(token))
    monkeypatch.delenv("READMIT_TOKEN", raising=False)
    decide = intake.decide

    def renew(headers: dict[str, str], body: bytes) -> Answer | None:
        token.write_text("second\n")
        return decide(headers, body)

    monkeypatch.setattr(intake, "decide", renew)
    import_events(file, url=intake.url, token=None, state=None)
    assert [headers["Authorization"] for headers in intake.headers] == [
        "Bearer first",
        "Bearer second",
        "Bearer second",
    ]


def test_what_is_missing_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("READMIT_INTAKE_URL", "READMIT_TOKEN", "READMIT_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CommandError, match="READMIT_INTAKE_URL"):
        import_events(file, url=None, token="t", state=None)
    with pytest.raises(CommandError, match="READMIT_TOKEN"):
        import_events(file, url="http://127.0.0.1:1", token=None, state=None)
    with pytest.raises(CommandError, match=r"none\.jsonl"):
        import_events(file.with_name("none.jsonl"), url="http://127.0.0.1:1", token="t", state=None)


def test_the_stand_in_sees_what_the_file_holds(file: Path) -> None:
    with file.open("rb") as lines:
        assert sum(len(batch.events) for batch in batches(lines, offset=0, line=0)) == 2500
