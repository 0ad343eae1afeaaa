"""Finding a Java that can run Apache Kafka."""

import asyncio
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from deploy.errors import CommandError

MINIMUM = 17  # what Kafka 4's broker asks for

_VERSION = re.compile(r'version "(?P<major>\d+)(?:\.(?P<minor>\d+))?[^"]*"')


def major_version(said: str) -> int | None:
    """The major version in what `java -version` says; None when it says none."""
    found = _VERSION.search(said)
    if found is None:
        return None
    major = int(found["major"])
    # Until 8 they were called 1.x.
    return int(found["minor"]) if major == 1 and found["minor"] else major


async def find_java(environ: Mapping[str, str]) -> Path:
    """A `java` of at least version 17: JAVA_HOME's, else the one on the PATH. `CommandError` says what was found."""
    rejected = []
    for where, path in _candidates(environ):
        said = await _version_text(path, environ) if path is not None else None
        version = major_version(said) if said is not None else None
        if path is not None and version is not None and version >= MINIMUM:
            return path
        rejected.append(f"{where}: {'none' if said is None else f'version {version}' if version else 'does not run'}")
    raise CommandError(
        f"Apache Kafka needs Java {MINIMUM} or newer, which was not found ({'; '.join(rejected)}). "
        f"Install a JDK of version {MINIMUM} or newer, or name one with JAVA_HOME."
    )


def _candidates(environ: Mapping[str, str]) -> list[tuple[str, Path | None]]:
    on_path = shutil.which("java", path=environ.get("PATH", os.defpath))
    found: list[tuple[str, Path | None]] = [("PATH", Path(on_path) if on_path else None)]
    home = environ.get("JAVA_HOME")
    if home:
        java = Path(home) / "bin" / "java"
        found.insert(0, (f"JAVA_HOME {home}", java if java.is_file() else None))
    return found


async def _version_text(java: Path, environ: Mapping[str, str]) -> str | None:
    try:
        process = await asyncio.create_subprocess_exec(
            java, "-version", env=dict(environ), stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
    except OSError:
        return None
    said, _ = await process.communicate()
    return said.decode(errors="replace")
