"""Handing mail over to servers that answer in every way that RFC 5321 has, and in some that it hasn't."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.kit.mail import sender
from shared.kit.mail.sender import Mailer, MailFailed, PermanentFailure, TemporaryFailure
from shared.kit.mail.servers import SmtpServer, parse_smtp_urls
from tests.integration.kit.conftest import wait_for
from tests.integration.kit.smtp_server import DROP, HANG, SmtpServerFake, smtp_server

MESSAGE = b"Subject: s\r\n\r\nHello\r\n"


def at(*fakes: SmtpServerFake | int) -> tuple[SmtpServer, ...]:
    ports = [fake if isinstance(fake, int) else fake.port for fake in fakes]
    return parse_smtp_urls(",".join(f"smtp://127.0.0.1:{port}" for port in ports))


@asynccontextmanager
async def mailer(*fakes: SmtpServerFake | int, connections: int = 8) -> AsyncIterator[Mailer]:
    made = Mailer(at(*fakes), connections=connections)
    try:
        yield made
    finally:
        await made.stop()


async def send(to: Mailer, recipient: str = "admin@example.org", message: bytes = MESSAGE) -> str:
    return (await to.send(message, sender="readmit@example.org", recipient=recipient)).answer


async def failure(to: Mailer) -> MailFailed:
    with pytest.raises(MailFailed) as caught:
        await send(to)
    return caught.value


async def test_a_message_arrives_as_it_is_and_the_answer_is_kept() -> None:
    async with smtp_server() as fake, mailer(fake) as mail:
        assert await send(mail) == "taken as 1"
        assert fake.received == [MESSAGE.removesuffix(b"\r\n")]
        assert "MAIL FROM:<readmit@example.org>" in fake.commands
        assert "RCPT TO:<admin@example.org>" in fake.commands


@pytest.mark.parametrize(
    ("replies", "kind", "status"),
    [
        ({"RCPT": "450 busy"}, TemporaryFailure, 450),
        ({"RCPT": "451 greylisted"}, TemporaryFailure, 451),
        ({"RCPT": "452 full"}, TemporaryFailure, 452),
        ({"RCPT": "550 no such user"}, PermanentFailure, 550),
        ({"RCPT": "421 closing"}, TemporaryFailure, 421),
        ({"MAIL": "451 later"}, TemporaryFailure, 451),
        ({"MAIL": "550 not you"}, PermanentFailure, 550),
        ({"DATA": "451 later"}, TemporaryFailure, 451),
        ({"DATA": "554 no"}, PermanentFailure, 554),
        ({"end": "451 later"}, TemporaryFailure, 451),
        ({"end": "552 too large"}, PermanentFailure, 552),
        ({"end": "421 closing"}, TemporaryFailure, 421),
        ({"end": "299 what"}, TemporaryFailure, 299),
        ({"end": DROP}, TemporaryFailure, None),
        ({"DATA": DROP}, TemporaryFailure, None),
        ({"RCPT": DROP}, TemporaryFailure, None),
        ({"MAIL": DROP}, TemporaryFailure, None),
        ({"EHLO": DROP}, TemporaryFailure, None),
        ({"banner": DROP}, TemporaryFailure, None),
        ({"banner": "554 go away"}, TemporaryFailure, 554),
        ({"banner": "421 busy"}, TemporaryFailure, 421),
        ({"banner": "not smtp at all"}, TemporaryFailure, ...),
        ({"end": "250"}, None, None),
    ],
    ids=str,
)
async def test_answers_are_told_apart(replies: dict[str, str], kind: type[MailFailed] | None, status: object) -> None:
    async with smtp_server(**replies) as fake, mailer(fake) as mail:
        if kind is None:
            await send(mail)
        else:
            caught = await failure(mail)
            assert type(caught) is kind
            assert status is ... or caught.status == status
            assert "example.org" not in str(caught)
        # And whatever it was, the next message isn't hurt by it.
        fake.replies.clear()
        assert await send(mail) == "taken as 1"


@pytest.mark.parametrize("command", ["banner", "EHLO", "MAIL", "RCPT", "DATA", "."])
async def test_a_server_that_hangs_is_given_up(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(sender, "COMMAND_SECONDS", 0.3)
    async with smtp_server() as fake, mailer(fake) as mail:
        fake.replies[command] = HANG
        async with asyncio.timeout(5):
            caught = await failure(mail)
        assert isinstance(caught, TemporaryFailure)
        fake.replies.clear()
        assert await send(mail) == "taken as 1"


async def test_the_next_server_is_tried_when_one_can_not_be_reached(unused_tcp_port: int) -> None:
    async with smtp_server(banner="554 no") as closed, smtp_server() as fake:
        async with mailer(unused_tcp_port, closed, fake) as mail:
            accepted = await mail.send(MESSAGE, sender="readmit@example.org", recipient="admin@example.org")
            assert accepted.server == f"127.0.0.1:{fake.port}"
        async with mailer(unused_tcp_port, closed) as mail:
            assert isinstance(await failure(mail), TemporaryFailure)


async def test_a_refusal_of_the_message_is_not_taken_to_the_next_server() -> None:
    async with smtp_server(RCPT="550 no such user") as first, smtp_server() as second, mailer(first, second) as mail:
        assert isinstance(await failure(mail), PermanentFailure)
        assert second.connections == 0


async def test_connections_are_kept_and_used_again() -> None:
    async with smtp_server() as fake, mailer(fake) as mail:
        for _ in range(5):
            await send(mail)
        fake.replies["RCPT"] = "550 no such user"
        await failure(mail)
        fake.replies.clear()
        await send(mail)
        assert fake.connections == 1
        assert len(fake.received) == 6


async def test_no_more_connections_than_allowed() -> None:
    async with smtp_server() as fake, mailer(fake, connections=3) as mail:
        await asyncio.gather(*(send(mail) for _ in range(20)))
        assert fake.connections == 3
        assert len(fake.received) == 20


async def test_a_connection_that_idled_long_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with smtp_server() as fake, mailer(fake) as mail:
        await send(mail)
        monkeypatch.setattr(sender, "IDLE_SECONDS", 0.0)
        await send(mail)
        assert fake.connections == 2


async def test_a_server_that_was_restarted_is_noticed_before_a_message_is_risked() -> None:
    async with smtp_server() as fake, mailer(fake) as mail:
        await send(mail)
        fake.replies["RCPT"] = "421 shutting down"
        await failure(mail)
        await wait_for(lambda: fake.open == 0)
        fake.replies.clear()
        await send(mail)


async def test_a_cancelled_send_leaves_no_half_used_connection_behind() -> None:
    async with smtp_server() as fake, mailer(fake, connections=1) as mail:
        fake.replies["."] = HANG
        task = asyncio.create_task(send(mail))
        await wait_for(lambda: fake.received)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        fake.replies.clear()
        assert await send(mail) == "taken as 1"
        assert fake.connections == 2


async def test_stopping_says_goodbye() -> None:
    async with smtp_server() as fake:
        async with mailer(fake) as mail:
            await send(mail)
        assert fake.commands[-1] == "QUIT"
        await wait_for(lambda: fake.open == 0)


@pytest.mark.parametrize(
    "body",
    [b"a\n.\nMAIL FROM:<x@evil.example>", b"a\r.\rRCPT", b"a\r\n.\r\nRSET", b"a\n.\r\nRSET", b"a\r\n.\nRSET", b".",
    b"..",
     b".\r\n.\r\n.", b"a\r.\nb", b"\n.\n"],
    ids=repr,
)  # fmt: skip
async def test_smtp_smuggling(body: bytes) -> None:
    """CVE-2023-51764: what some servers take for the end of the message must not go out."""
    async with smtp_server() as fake, mailer(fake) as mail:
        await send(mail, message=b"Subject: s\r\n\r\n" + body)
        await send(mail, message=MESSAGE)
        assert len(fake.received) == 2, "one message each"
        wire = fake.received[0]
        without = wire.replace(b"\r\n", b"")
        assert b"\r" not in without
        assert b"\n" not in without
        lines = wire.split(b"\r\n")
        assert all(not line.startswith(b".") or line.startswith(b"..") for line in lines), "dots are stuffed"
        unstuffed = b"\r\n".join(line.removeprefix(b".") for line in lines)
        normalised = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
        assert unstuffed.removesuffix(b"\r\n") == (b"Subject: s\r\n\r\n" + normalised).removesuffix(b"\r\n")
        assert not any(command.startswith(("RSET", "MAIL FROM:<x@")) for command in fake.commands)


async def test_international_addresses_need_smtputf8_only_where_they_must() -> None:
    async with smtp_server() as fake, mailer(fake) as mail:
        await send(mail, "admin@bücher.example")
        assert "RCPT TO:<admin@xn--bcher-kva.example>" in fake.commands
        assert not any("SMTPUTF8" in command for command in fake.commands)
        await send(mail, "ü@bücher.example")
        assert "RCPT TO:<ü@bücher.example>" in fake.commands
        assert any("SMTPUTF8" in command for command in fake.commands if command.startswith("MAIL"))
    async with smtp_server() as plain, mailer(plain) as mail:
        plain.extensions = ("8BITMIME",)
        await send(mail, "admin@bücher.example")
        with pytest.raises(PermanentFailure):
            await send(mail, "ü@bücher.example")
        await send(mail)


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("smtp://mail.example", [("mail.example", 25, "none", None, None)]),
        ("smtps://u:p%40%2F@mail.example/", [("mail.example", 465, "tls", "u", "p@/")]),
        (
            "smtp+starttls://u@[::1]:2525, smtp://b",
            [("::1", 2525, "starttls", "u", None), ("b", 25, "none", None, None)],
        ),
    ],
)
def test_server_urls(url: str, servers: list[tuple[object, ...]]) -> None:
    parsed = [(item.host, item.port, item.security, item.username, item.password) for item in parse_smtp_urls(url)]
    assert parsed == servers


async def test_a_server_that_is_slow_at_everything_is_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each answer is in time, all of them together are not: a job's lease would run out, and its mail go out twice."""
    monkeypatch.setattr(sender, "MESSAGE_SECONDS", 0.3, raising=False)
    async with smtp_server() as fake, mailer(fake) as mail:
        await send(mail)
        fake.replies["."] = HANG
        async with asyncio.timeout(3):
            error = await failure(mail)
        assert isinstance(error, TemporaryFailure)
        assert error.status is None
        del fake.replies["."]
        assert (await send(mail)).startswith("taken")  # on a new connection, not on the half-used one


async def test_a_server_that_takes_mails_and_says_nothing_raises_an_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "COMMAND_SECONDS", 0.2)
    async with smtp_server(end=HANG) as fake:
        made = Mailer(at(fake), alarm_seconds=0.5)
        for _ in range(4):
            with pytest.raises(TemporaryFailure):
                await made.send(MESSAGE, sender="a@x.example", recipient="b@x.example")
        assert "no mail server has answered" in str(await made.alarm())
        assert sender.alarm_raised._value.get() == 1
        fake.replies.clear()
        await made.send(MESSAGE, sender="a@x.example", recipient="b@x.example")
        assert await made.alarm() is None
        await made.stop()


async def test_a_server_that_says_4xx_for_hours_is_no_alarm() -> None:
    async with smtp_server(MAIL="451 try later") as fake:
        made = Mailer(at(fake), alarm_seconds=0.0)
        for _ in range(3):
            with pytest.raises(TemporaryFailure):
                await made.send(MESSAGE, sender="a@x.example", recipient="b@x.example")
            assert await made.alarm() is None
        await made.stop()
