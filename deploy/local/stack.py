"""The embedded stack: what is started in which order, and how it all ends."""

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from deploy.errors import USAGE, CommandError
from deploy.local import postgres, ready
from deploy.local.broker import Broker, EmbeddedBroker, embedded_settings
from deploy.local.children import Child, Program
from deploy.local.demo import Demo, Facts
from deploy.local.environment import Environment, require_settings
from deploy.local.kafka_apache import ApacheKafka, filled_marker
from deploy.local.kafka_cluster import Cluster
from deploy.local.leftovers import ProcessRecord
from deploy.local.liveness import recycle_when_not_live
from deploy.local.lock import exclusive
from deploy.local.overrides import SERVICES, Overrides
from deploy.local.ports import HOST, Ports
from deploy.local.probe import http_ready
from deploy.local.secrets import Secrets, verifier_key
from deploy.local.tools import Commands, Tools
from shared.kit.mail.servers import parse_smtp_urls

_START_LIMIT = 120.0  # seconds for one process; a busy machine may need several times the usual three
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STOP_LIMIT = 13.0  # seconds of the contract's 15, with room for a kill
_HTTP_SERVICES = ("intake", "recovery", "audit")

Kafka = Literal["embedded", "apache"]


@dataclass(frozen=True)
class Options:
    """What `readmit up` was asked for."""

    folder: Path
    environ: Mapping[str, str]
    port_base: int = 8100
    demo: bool = False
    kafka: Kafka = "embedded"
    brokers: int = 1
    commands: Commands = field(default_factory=Commands)


Report = Callable[[Mapping[str, Any], list[str]], None]


def run(options: Options, report: Report) -> None:
    """Start everything, call `report` with the content of `ready.json` and what people should know, run until a signal.

    Raises:
        CommandError: with a message for people; whatever had been started is stopped by then.
    """
    for number in _STOP_SIGNALS:
        # Until `serve` takes over nothing runs that would have to be stopped. A shell starts background jobs with
        # SIGINT ignored, hence not left to the default.
        signal.signal(number, lambda *_: sys.exit(0))
    overrides = Overrides(options.environ)
    require_settings(overrides, demo=options.demo)
    require_brokers(options)
    ports = Ports(options.port_base)
    folder = options.folder.absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with exclusive(folder):
        clear_leftovers(folder)
        ports.require_free(used_ports(overrides, demo=options.demo))
        asyncio.run(Stack(options, overrides, ports, folder).serve(report))


class Stack:
    """Everything that one `readmit up` runs."""

    def __init__(self, options: Options, overrides: Overrides, ports: Ports, folder: Path) -> None:
        self._options = options
        self._ports = ports
        self._logs = folder / "logs"
        self._broker = _broker_of(options, overrides, ports, folder)
        kafka = self._broker.settings() if self._broker else {}
        self._environment = environment_of(options.environ, folder, ports.base, demo=options.demo, kafka=kafka)
        self._postgres = self._environment.postgres
        self._demo = Demo(self._environment, self._logs)
        self._tools = Tools(options.commands, self._environment.of_tools(SERVICES), self._logs / "setup.log")
        self._record, self._ready = _records(folder)
        self._children: dict[str, Child] = {}
        self._watches: list[asyncio.Task[None]] = []
        self._embedded_databases = tuple(name for name in SERVICES if not overrides.holds("DATABASE_URL", name))
        self._topics_are_there = asyncio.Event()

    async def serve(self, report: Report) -> None:
        """Start, run until SIGINT or SIGTERM, stop."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, stop.set)
        starting = asyncio.create_task(self._start())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                report(*starting.result())
                await stopped
        finally:
            starting.cancel()
            stopped.cancel()
            await asyncio.wait([starting])
            await self._stop()

    async def _start(self) -> tuple[Mapping[str, Any], list[str]]:
        # A broker may start empty, as the embedded one does: unless the databases are new too, they refill it.
        filled = self._broker is None or self._broker.is_filled()
        refill = not filled and not (self._embedded_databases == SERVICES and self._postgres.is_new)
        facts, _ = await _together(self._start_demo(), self._start_services(refill=refill))
        notes = [note for note in [await self._demo.import_history(facts, self._tools)] if note] if facts else []
        content = self._describe(facts)
        self._ready.publish(content)
        return content, notes

    async def _start_services(self, *, refill: bool) -> None:
        await _together(self._start_databases(), self._start_broker())
        services = [self._start_service(name) for name in SERVICES]
        await _together(*services, *([self._tools.replay()] if refill else []))
        if self._broker is not None:
            self._broker.mark_filled()

    async def _start_databases(self) -> None:
        if self._embedded_databases:
            await self._postgres.initialise()
            await self._run(self._postgres.program())
            await self._postgres.create_databases(self._embedded_databases)
        await self._tools.migrate()

    async def _start_broker(self) -> None:
        if self._broker is not None:
            await self._broker.prepare()
            programs, hooks = self._broker.programs(), {}
            if self._broker.forgets:
                programs = [replace(program, before_start=self._hold_services) for program in programs]
                hooks = {"after_restart": self._refill_broker}
            await _together(*(self._run(program, **hooks) for program in programs))
        await self._tools.apply_topics()
        self._topics_are_there.set()

    async def _hold_services(self) -> None:
        """Have nobody talk to a broker that has no topics yet.

        Tansu takes records for topics that it does not have, and hands them out; when the topic is made its log begins
        anew. A consumer that was quick enough would stand at an offset of the log before, and pass over that many.
        """
        self._topics_are_there.clear()
        for name in SERVICES:
            if name in self._children:
                self._children[name].pause()

    async def _refill_broker(self) -> None:
        try:
            await self._tools.apply_topics()
        finally:
            self._topics_are_there.set()
            for name in SERVICES:
                if name in self._children:
                    self._children[name].resume()
        await self._tools.replay()

    async def _until_topics_are_there(self) -> None:
        await self._topics_are_there.wait()

    async def _start_demo(self) -> Facts | None:
        if not self._options.demo:
            return None
        facts = await self._demo.prepare()
        await _together(*(self._run(program) for program in self._demo.programs()))
        return facts

    async def _start_service(self, name: str) -> None:
        port = self._ports.of(name)
        child = await self._run(
            Program(
                name=name,
                argv=self._options.commands.service(name),
                env=self._environment.of_service(name),
                log=self._logs / f"{name}.log",
                ready=http_ready(HOST, port, "/health/ready"),
                before_start=self._until_topics_are_there,
            )
        )
        self._watches.append(asyncio.create_task(recycle_when_not_live(child, HOST, port)))

    async def _run(self, program: Program, **hooks: Callable[[], Coroutine[Any, Any, None]]) -> Child:
        child = self._children[program.name] = Child(program, on_pid=self._pids_changed, **hooks)
        await child.start()
        await child.until_ready(_START_LIMIT)
        return child

    def _pids_changed(self) -> None:
        pids = {name: child.pid for name, child in self._children.items() if child.pid is not None}
        self._record.write(pids)
        self._ready.update_pids(_published_pids(pids))

    def _describe(self, facts: Facts | None) -> dict[str, Any]:
        environment, url = self._environment, self._ports.url
        urls = {name: url(name) for name in _HTTP_SERVICES}
        urls["identity"] = url("identity") if facts else (environment.setting("AUTH_ISSUER") or "")
        if "mailbox" in self._children:
            urls["mailbox"] = url("mailbox")
        content: dict[str, Any] = {
            "urls": urls,
            "ops_urls": {name: url(name) for name in SERVICES},
            "kafka": environment.setting("KAFKA_BOOTSTRAP_SERVERS"),
            "smtp": smtp_endpoints(environment.setting("SMTP_URL") or ""),
            "databases": {name: environment.database_url(name) for name in SERVICES},
            "pids": _published_pids({name: child.pid for name, child in self._children.items() if child.pid}),
            "audit_key": verifier_key(environment.audit_origin(), environment.audit_signing_key()),
        }
        if facts:
            content |= {"tokens": dict(facts.tokens), "people": dict(facts.people)}
        return content

    async def _stop(self) -> None:
        self._ready.remove()
        for watch in self._watches:
            watch.cancel()
        deadline = time.monotonic() + _STOP_LIMIT
        # In the order of dependence: whoever is still writing has something to write to.
        for names in (SERVICES, ("identity", "mailbox", *_brokers(self._children))):
            await asyncio.gather(*(self._children[name].stop() for name in names if name in self._children))
        if "postgres" in self._children:
            # All the time that is left: its last checkpoint waits for a disk that others may be busy with.
            await self._children["postgres"].stop(max(1.5, deadline - time.monotonic()))
        self._record.clear()


def clear_leftovers(folder: Path) -> None:
    """End what a killed run on the same folder left, and what it said about itself."""
    record, ready_file = _records(folder)
    ready_file.remove()
    record.end_all()


def _records(folder: Path) -> tuple[ProcessRecord, ready.ReadyFile]:
    return ProcessRecord(folder / "processes.json"), ready.ReadyFile(folder / "ready.json")


def require_brokers(options: Options) -> None:
    """Raise `CommandError` for a number of brokers that can't be had."""
    if options.brokers not in {1, 3}:
        raise CommandError("--brokers is 1 or 3: two bear the loss of neither", exit_code=USAGE)
    if options.brokers != 1 and options.kafka != "apache":
        raise CommandError("--brokers needs --kafka apache: the embedded broker runs alone", exit_code=USAGE)


def _broker_of(options: Options, overrides: Overrides, ports: Ports, folder: Path) -> Broker | None:
    outer, logs, home = overrides.holds("KAFKA_BOOTSTRAP_SERVERS"), folder / "logs", folder / "kafka"
    if options.kafka == "apache" and not outer:
        return ApacheKafka(home, logs, options.environ, Cluster.of(home, ports.of("kafka"), options.brokers))
    # What is published from now on goes elsewhere: a cluster that the folder holds will lack it.
    filled_marker(home).unlink(missing_ok=True)
    return None if outer else EmbeddedBroker(ports, logs)


def environment_of(
    environ: Mapping[str, str], folder: Path, port_base: int, *, demo: bool, kafka: Mapping[str, str] | None = None
) -> Environment:
    """What the processes of the stack in `folder` find in their environments; `kafka` as for the embedded broker."""
    folder = folder.absolute()
    secrets = Secrets(folder / "secrets")
    server = postgres.Postgres(
        data=folder / "postgres",
        sockets=postgres.socket_folder(folder / "run"),
        log=folder / "logs" / "postgres.log",
        secrets=secrets,
    )
    ports = Ports(port_base)
    kafka = embedded_settings(ports) if kafka is None else kafka
    return Environment(Overrides(environ), ports, folder, secrets, server, demo, kafka)


def used_ports(overrides: Overrides, *, demo: bool) -> dict[str, str]:
    """What `up` will listen with, and what people call it."""
    uses = {name: name for name in SERVICES}
    if demo:
        uses["identity"] = "demo identity platform"
        if not overrides.holds("SMTP_URL"):
            uses |= {"mailbox": "mailbox", "smtp": "SMTP of the mailbox"}
    if not overrides.holds("KAFKA_BOOTSTRAP_SERVERS"):
        uses["kafka"] = "Kafka"
    return uses


def _published_pids(pids: Mapping[str, int]) -> dict[str, int]:
    return {name: pids[name] for name in (*SERVICES, *_brokers(pids), "postgres") if name in pids}


def _brokers(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.startswith("broker"))


def smtp_endpoints(urls: str) -> str:
    """Host and port of each SMTP server, without the credentials that its URL may hold."""
    try:
        return ",".join(server.name for server in parse_smtp_urls(urls))
    except ValueError as error:
        raise CommandError(f"READMIT_SMTP_URL {error}", exit_code=USAGE) from error


async def _together(*steps: Coroutine[Any, Any, Any]) -> list[Any]:
    """Run steps at once; the first failure ends the others and is raised by itself."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(step) for step in steps]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
