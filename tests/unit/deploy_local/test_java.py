import os
from pathlib import Path

import pytest

from deploy.errors import CommandError
from deploy.local.java import find_java, major_version


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment (build 17.0.15+6)', 17),
        ('openjdk version "21" 2023-09-19', 21),
        ('openjdk version "24-ea" 2025-03-18', 24),
        ('java version "1.8.0_392"\nJava(TM) SE Runtime Environment', 8),
        ('Picked up JAVA_TOOL_OPTIONS: -Dversion="3"\nopenjdk version "11.0.2" 2019-01-15', 11),
        ("The operation couldn't be completed. Unable to locate a Java Runtime.", None),
        ("", None),
    ],
)
def test_what_java_says_of_its_version(said: str, version: int | None) -> None:
    assert major_version(said) == version


def java(folder: Path, version: str) -> Path:
    path = folder / "bin" / "java"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    path.chmod(0o755)
    return path


async def test_java_home_comes_first(tmp_path: Path) -> None:
    home, path = java(tmp_path / "home", "21.0.1"), java(tmp_path / "path", "17.0.1")
    environ = {"JAVA_HOME": str(tmp_path / "home"), "PATH": f"{path.parent}:{os.defpath}"}
    assert await find_java(environ) == home
    del environ["JAVA_HOME"]
    assert await find_java(environ) == path


async def test_one_that_is_too_old_is_passed_over(tmp_path: Path) -> None:
    java(tmp_path / "home", "11.0.2")
    path = java(tmp_path / "path", "17")
    assert await find_java({"JAVA_HOME": str(tmp_path / "home"), "PATH": f"{path.parent}:{os.defpath}"}) == path


async def test_the_error_says_which_were_found(tmp_path: Path) -> None:
    java(tmp_path / "home", "1.8.0_392")
    with pytest.raises(CommandError) as refusal:
        await find_java({"JAVA_HOME": str(tmp_path / "home"), "PATH": str(tmp_path)})
    assert "Java 17 or newer" in str(refusal.value)
    assert f"JAVA_HOME {tmp_path / 'home'}: version 8; PATH: none" in str(refusal.value)
    with pytest.raises(CommandError, match=r"JAVA_HOME /nowhere: none; PATH: none"):
        await find_java({"JAVA_HOME": "/nowhere", "PATH": str(tmp_path)})
