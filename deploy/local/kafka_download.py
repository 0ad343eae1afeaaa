"""Apache Kafka's jars, fetched by Maven once a user and checked against the committed list before they are run.

`python -m deploy.local.kafka_download` writes that list anew, after a change of `deploy/kafka/apache/pom.xml`.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from deploy.errors import CommandError
from deploy.local.spawn import run_to_end

_DECLARED = Path(__file__).resolve().parents[1] / "kafka" / "apache"
POM = _DECLARED / "pom.xml"
HASHES = _DECLARED / "jars.sha256"

_KAFKA_VERSION = re.compile(r"<artifactId>kafka_2\.13</artifactId>\s*<version>([^<]+)</version>")


def version() -> str:
    """Of Apache Kafka, as the POM has it."""
    found = _KAFKA_VERSION.search(POM.read_text())
    assert found is not None
    return found[1]


async def jars(environ: Mapping[str, str], log: Path) -> Path:
    """The folder of the jars, fetched when it isn't there yet (44 MB).

    Raises:
        CommandError: no Maven, no network, or something else arrived than what is expected.
    """
    expected = read_hashes(HASHES.read_text())
    folder = _cache(environ) / f"kafka-{version()}"
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with _alone(folder.with_name(f"{folder.name}.lock")):
        changed = await asyncio.to_thread(differences, folder, expected) if folder.exists() else []
        if changed:
            shutil.rmtree(folder)  # damaged, or of an older list: fetched again
        if not folder.exists():
            print(f"broker: fetching Apache Kafka {version()} with Maven, once (log: {log})", file=sys.stderr)
            await _fetch(folder, expected, environ, log)
    return folder


def read_hashes(text: str) -> dict[str, str]:
    """File name to SHA-256, from lines as `sha256sum` writes them."""
    pairs = (line.split() for line in text.splitlines() if line)
    return {name: digest for digest, name in pairs}


def differences(folder: Path, expected: Mapping[str, str]) -> list[str]:
    """What in a folder is not as the list has it, a line a file: changed, missing, or there without being listed."""
    found = {path.name: path for path in folder.iterdir()}
    missing = [f"{name} is missing" for name in expected if name not in found]
    extra = [f"{name} is not expected" for name in found if name not in expected]
    changed = [
        f"{name} is not the one that is expected: its SHA-256 is {digest}"
        for name, path in found.items()
        if name in expected and (digest := _sha256(path)) != expected[name]
    ]
    return sorted(missing + extra + changed)


async def _fetch(folder: Path, expected: Mapping[str, str], environ: Mapping[str, str], log: Path) -> None:
    # Beside its place, so that a rename puts it there as a whole; whoever died before that left a draft.
    for abandoned in folder.parent.glob(f".{folder.name}-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        await _run_maven(draft / "jars", environ, log)
        wrong = await asyncio.to_thread(differences, draft / "jars", expected)
        if wrong:
            raise CommandError("what Maven fetched is not Apache Kafka as it was pinned: " + "; ".join(wrong))
        (draft / "jars").rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


async def _run_maven(folder: Path, environ: Mapping[str, str], log: Path) -> None:
    maven = shutil.which("mvn", path=environ.get("PATH", os.defpath))
    if maven is None:
        raise CommandError(
            "Apache Kafka is fetched with Maven, and there is no `mvn` on the PATH. Install Maven, "
            "or set READMIT_KAFKA_BOOTSTRAP_SERVERS to a Kafka that runs already."
        )
    # -C: a checksum that doesn't match is an error, not a warning.
    goal = ("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}")
    argv = (maven, "-q", "-B", "-C", "-f", str(POM), *goal)
    await run_to_end(argv, environ, log, what="fetching Apache Kafka with Maven (is there a network?)")


def _cache(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative paths ignored.
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "readmit"


@contextlib.asynccontextmanager
async def _alone(path: Path) -> AsyncIterator[None]:
    """One process at a time; the kernel lets go when it ends, however it ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(0.2)
        yield
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _pin() -> None:
    with tempfile.TemporaryDirectory() as folder:
        await _run_maven(Path(folder) / "jars", os.environ, Path(folder) / "maven.log")
        found = sorted((Path(folder) / "jars").iterdir())
        HASHES.write_text("".join(f"{_sha256(path)}  {path.name}\n" for path in found))


if __name__ == "__main__":
    asyncio.run(_pin())
