"""`readmit import FILE`: history and state from an identity platform, through intake like everything else."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from deploy.commands import event_file
from deploy.commands.intake_client import IntakeClient
from deploy.errors import USAGE, CommandError, MissingSettingsError


def import_events(file: Path, *, url: str | None, token: str | None, state: Path | None) -> None:
    """Post a file's events; an interrupted run is taken up where it stopped."""
    url = url or os.environ.get("READMIT_INTAKE_URL")
    if not url:
        raise MissingSettingsError(["READMIT_INTAKE_URL"], "It is intake's address; --url says it too.")
    console = Console(highlight=False)
    try:
        with file.open("rb") as lines, _Bar(console, file) as bar:
            _import(lines, url, _token(token), state or file.with_name(f"{file.name}.import-state"), bar)
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror or error}", exit_code=USAGE) from error
    except KeyboardInterrupt:
        raise CommandError("interrupted. Run the same command again to resume.", exit_code=130) from None


def _import(lines: BinaryIO, url: str, token: Callable[[], str], state: Path, bar: "_Bar") -> None:
    progress = event_file.Progress(state, target=url)
    if progress.resume(lines):
        bar.say(f"Resuming behind line {progress.line}.")
    bar.reach(progress.offset)
    accepted = 0
    with IntakeClient(url, token, on_wait=lambda reason, wait: bar.say(f"Waiting {wait:.0f} s: {reason}")) as intake:
        for batch in event_file.batches(lines, offset=progress.offset, line=progress.line):
            accepted += intake.post(batch)
            progress.advance(batch)
            bar.reach(progress.offset, accepted)
    progress.finish()


class _Bar:
    """A progress bar over the bytes of the file; plain lines where there is no terminal."""

    def __init__(self, console: Console, file: Path) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._progress = Progress(*columns, TimeRemainingColumn(), console=console)
        self._task = self._progress.add_task(f"Importing {file.name}", total=file.stat().st_size, note="")

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def reach(self, offset: int, accepted: int = 0) -> None:
        self._progress.update(self._task, completed=offset, note=f"{accepted:,} events accepted")

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False)


def _token(given: str | None) -> Callable[[], str]:
    """Read afresh for each batch where it lies in a file: an import may outlast a token."""
    direct, by_file = given or os.environ.get("READMIT_TOKEN"), os.environ.get("READMIT_TOKEN_FILE")
    if direct:
        return lambda: direct
    if not by_file:
        raise MissingSettingsError(["READMIT_TOKEN"], "A token of scope readmit.events; --token says it too.")

    def read() -> str:
        try:
            return Path(by_file).read_text().strip()
        except OSError as error:
            raise CommandError(
                f"READMIT_TOKEN_FILE: cannot read {by_file}: {error.strerror}", exit_code=USAGE
            ) from error

    read()
    return read
