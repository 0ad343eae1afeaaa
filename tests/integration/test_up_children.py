"""Supervision of one child."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from deploy.errors import CommandError
from deploy.local.children import Child, Program
from deploy.local.environment import python_module
from deploy.local.liveness import recycle_when_not_live
from deploy.local.ports import HOST
from deploy.local.probe import http_ready
from tests.integration.up_stubs.ports import free_port_base

_ROOT = Path(__file__).resolve().parents[2]
Supervise = Callable[..., Child]


@pytest_asyncio.fixture
async def supervise(tmp_path: Path) -> AsyncIterator[Supervise]:
    children: list[Child] = []

    def make(argv: tuple[str, ...], port: int, grace: float = 5.0, **environ: str) -> Child:
        environ |= {
            "READMIT_HOST": HOST,
            "READMIT_PORT": str(port),
            "PYTHONPATH": str(_ROOT),
            "PATH": os.environ["PATH"],
        }
        program = Program(
            "stub", argv, environ, tmp_path / "stub.log", http_ready(HOST, port, "/health/ready"), grace=grace
        )
        child = Child(program)
        children.append(child)
        return child

    yield make
    for child in children:
        await child.stop()


STUB = python_module("tests.integration.up_stubs.service", "stub")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_service_that_says_it_is_not_live_is_restarted(supervise: Supervise) -> None:
    port = free_port_base()
    child = supervise(STUB, port)
    await child.start()
    await child.until_ready(20)
    watch = asyncio.create_task(recycle_when_not_live(child, HOST, port, interval=0.05))
    before = child.pid
    try:
        # A process that doesn't answer may be paused or busy: no reason to end it.
        assert before is not None
        os.kill(before, signal.SIGSTOP)
        await asyncio.sleep(0.5)
        os.kill(before, signal.SIGCONT)
        await child.until_ready(20)
        assert child.pid == before
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.post(f"http://{HOST}:{port}/stop-being-live")
        await until(lambda: child.pid != before)
        await child.until_ready(20)
    finally:
        watch.cancel()


async def test_a_service_that_is_not_live_and_cannot_stop_is_killed(supervise: Supervise) -> None:
    port = free_port_base()
    deaf = (
        "import http.server, signal; signal.signal(15, signal.SIG_IGN)\n"
        "class NotLive(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self): self.send_response(200 if 'ready' in self.path else 503); self.end_headers()\n"
        f"http.server.HTTPServer(('{HOST}', {port}), NotLive).serve_forever()"
    )
    child = supervise((sys.executable, "-c", deaf), port, grace=0.3)
    await child.start()
    await child.until_ready(20)
    watch = asyncio.create_task(recycle_when_not_live(child, HOST, port, interval=0.05))
    before = child.pid
    try:
        await until(lambda: child.pid != before)
    finally:
        watch.cancel()


async def test_what_keeps_dying_is_started_less_and_less_often(supervise: Supervise, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    note = f"open({str(starts)!r}, 'a').write('x')"
    child = supervise((sys.executable, "-c", note), free_port_base())
    await child.start()
    with pytest.raises(CommandError, match="stub does not start"):
        await child.until_ready(20)
    before = len(starts.read_text())
    await asyncio.sleep(1.0)
    assert len(starts.read_text()) - before <= 2


async def test_a_child_that_ignores_the_signal_is_killed_after_its_grace(supervise: Supervise, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    program = f"import signal, time; signal.signal(15, signal.SIG_IGN); open({str(ready)!r}, 'w'); time.sleep(60)"
    child = supervise((sys.executable, "-c", program), free_port_base(), grace=0.3)
    await child.start()
    await until(ready.exists)
    pid = child.pid
    async with asyncio.timeout(3):
        await child.stop()
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_stopping_while_it_waits_to_start_again(supervise: Supervise) -> None:
    child = supervise((sys.executable, "-c", "raise SystemExit(1)"), free_port_base())
    await child.start()
    with pytest.raises(CommandError):
        await child.until_ready(20)
    async with asyncio.timeout(2):
        await child.stop()


async def test_how_a_child_ended_is_known_though_it_was_signalled_meanwhile(
    supervise: Supervise, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(20):
        child = supervise(("sleep", "60"), free_port_base())
        await child.start()
        before = child.pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        for _ in range(100):
            child.resume()
        while child.pid == before:
            await asyncio.sleep(0.01)
        await child.stop()
    assert capsys.readouterr().err.count("ended (-9)") == 20
