"""Apache Kafka's jars with a Maven that is a shell script: what is fetched, kept, refused and cleaned up."""

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.errors import CommandError
from deploy.local import kafka_download

Maven = Callable[[str], dict[str, str]]
JARS = {"a.jar": b"one", "b.jar": b"two"}
GOOD = 'printf one > "$folder/a.jar"; printf two > "$folder/b.jar"'


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maven:
    """An environment whose `mvn` writes down that it ran and then does what the script says with `$folder`."""
    hashes = tmp_path / "jars.sha256"
    hashes.write_text("".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in JARS.items()))
    monkeypatch.setattr(kafka_download, "HASHES", hashes)

    def install(script: str) -> dict[str, str]:
        path = tmp_path / "bin" / "mvn"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            f"#!/bin/sh\necho ran >> {tmp_path}/runs\n"
            "for argument; do case $argument in -DoutputDirectory=*) folder=${argument#*=};; esac; done\n"
            f'mkdir -p "$folder"\n{script}\n'
        )
        path.chmod(0o755)
        return {"PATH": f"{path.parent}:{os.defpath}", "XDG_CACHE_HOME": str(tmp_path / "cache")}

    return install


def runs(tmp_path: Path) -> int:
    return len((tmp_path / "runs").read_text().splitlines())


def in_cache(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "cache" / "readmit").iterdir() if path.suffix != ".lock"}


async def test_jars_are_fetched_once_and_kept(tmp_path: Path, maven: Maven) -> None:
    environ = maven(GOOD)
    folder = await kafka_download.jars(environ, tmp_path / "log")
    assert folder == tmp_path / "cache" / "readmit" / f"kafka-{kafka_download.version()}"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == JARS
    assert await kafka_download.jars(environ, tmp_path / "log") == folder
    assert runs(tmp_path) == 1
    assert in_cache(tmp_path) == {folder.name}


async def test_two_at_once_fetch_once(tmp_path: Path, maven: Maven) -> None:
    environ = maven(f"sleep 0.3; {GOOD}")
    both = await asyncio.gather(*(kafka_download.jars(environ, tmp_path / f"log-{n}") for n in range(2)))
    assert both[0] == both[1]
    assert runs(tmp_path) == 1


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        (GOOD.replace("two", "TWO"), "b.jar is not the one that is expected"),
        ('printf one > "$folder/a.jar"', "b.jar is missing"),
        (GOOD + '; printf x > "$folder/c.jar"', "c.jar is not expected"),
    ],
)
async def test_what_is_not_as_pinned_is_refused(tmp_path: Path, maven: Maven, script: str, complaint: str) -> None:
    with pytest.raises(CommandError, match="not Apache Kafka as it was pinned") as refusal:
        await kafka_download.jars(maven(script), tmp_path / "log")
    assert complaint in str(refusal.value)
    assert in_cache(tmp_path) == set()


async def test_a_jar_that_was_changed_in_the_cache_is_fetched_again(tmp_path: Path, maven: Maven) -> None:
    environ = maven(GOOD)
    folder = await kafka_download.jars(environ, tmp_path / "log")
    (folder / "a.jar").write_bytes(b"evil")
    await kafka_download.jars(environ, tmp_path / "log")
    assert (folder / "a.jar").read_bytes() == b"one"
    assert runs(tmp_path) == 2


async def test_a_failed_download_says_where_to_look_and_leaves_nothing(tmp_path: Path, maven: Maven) -> None:
    with pytest.raises(CommandError, match="fetching Apache Kafka with Maven") as refusal:
        await kafka_download.jars(maven(f"{GOOD}; echo no route to host; exit 1"), tmp_path / "log")
    assert "no route to host" in str(refusal.value)
    assert in_cache(tmp_path) == set()
    # Nor does what a killed one left stay for ever.
    (tmp_path / "cache" / "readmit" / f".kafka-{kafka_download.version()}-dead").mkdir()
    folder = await kafka_download.jars(maven(GOOD), tmp_path / "log")
    assert in_cache(tmp_path) == {folder.name}


async def test_without_maven_it_says_so(tmp_path: Path, maven: Maven) -> None:
    environ = maven(GOOD) | {"PATH": str(tmp_path)}
    with pytest.raises(CommandError, match="no `mvn` on the PATH"):
        await kafka_download.jars(environ, tmp_path / "log")


def test_every_pinned_jar_of_kafka_is_of_the_version_in_the_pom() -> None:
    pinned = kafka_download.read_hashes(kafka_download.HASHES.read_text())
    assert f"kafka_2.13-{kafka_download.version()}.jar" in pinned
    assert f"kafka-server-{kafka_download.version()}.jar" in pinned
    assert all(len(digest) == 64 for digest in pinned.values())
