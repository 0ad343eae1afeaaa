"""The `readmit` command. Each command imports what it needs when it runs, so that `--help` answers at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from deploy.errors import CommandError
from deploy.local.overrides import SERVICES

app = typer.Typer(
    name="readmit",
    help="Gets people who are locked out of their account back in, and can prove how it happened.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich would cost it a third of a second
    add_completion=False,
)
topics_app = typer.Typer(help="The Kafka topics.", no_args_is_help=True)
app.add_typer(topics_app, name="topics")
letters_app = typer.Typer(help="What could not be processed, and its way back in.", no_args_is_help=True)
app.add_typer(letters_app, name="dead-letters")

Service = Literal["intake", "enrichment", "notifier", "recovery", "audit"]


@app.command()
def up(
    demo: Annotated[
        bool, typer.Option("--demo", help="Add an identity platform, a mailbox and an organisation.")
    ] = False,
    data_dir: Annotated[Path, typer.Option(metavar="DIR", help="Where all data lives.")] = Path("var"),
    port_base: Annotated[int, typer.Option(metavar="N", help="Listens on the ports N to N+8 of 127.0.0.1.")] = 8100,
    kafka: Annotated[
        Literal["embedded", "apache"],
        typer.Option(help="The broker; apache needs Java 17 and Maven. Another: READMIT_KAFKA_BOOTSTRAP_SERVERS."),
    ] = "embedded",
    brokers: Annotated[int, typer.Option(help="With --kafka apache: 1, or 3 that bear the loss of one.")] = 1,
) -> None:
    """Run broker, PostgreSQL and the five services here, until Ctrl-C.

    Settings in the environment win over the embedded ones. Without --demo it needs READMIT_AUTH_JWKS,
    READMIT_AUTH_ISSUER and READMIT_SMTP_URL.
    """
    from deploy.commands import up as command

    command.up(demo=demo, folder=data_dir, port_base=port_base, kafka=kafka, brokers=brokers)


@app.command()
def run(service: Annotated[Service, typer.Argument()]) -> None:
    """Run one service, configured by environment variables only: what a container runs."""
    from deploy.commands import run as command

    command.run(service)


@app.command()
def migrate(service: Annotated[Service | None, typer.Argument(help="All of them unless named.")] = None) -> None:
    """Bring the database schemas up to date."""
    from deploy.commands import migrate as command

    command.migrate([service] if service else SERVICES, os.environ)


@app.command()
def databases() -> None:
    """Make each service's roles and database on a new PostgreSQL server. Idempotent; also sets passwords anew.

    They are those of READMIT_<SERVICE>_DATABASE_URL; it is done with READMIT_POSTGRES_ADMIN_URL.
    """
    from deploy.commands import databases as command

    command.create(os.environ)


@app.command()
def secrets(folder: Annotated[Path, typer.Argument(metavar="DIR")]) -> None:
    """Make the files of secrets that docker-compose.yml hands to its containers; what is there is kept."""
    from deploy.commands import secret_files as command

    command.make(folder)


@topics_app.command("apply")
def topics_apply() -> None:
    """Create or update the topics that deploy/kafka/topics.yaml declares. Idempotent."""
    from deploy.commands import topics as command

    command.apply(os.environ)


@app.command("import")
def import_events(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines, a CloudEvent each.")],
    url: Annotated[str | None, typer.Option(help="Intake's address; else READMIT_INTAKE_URL.")] = None,
    token: Annotated[
        str | None,
        typer.Option(help="Of scope readmit.events; better READMIT_TOKEN or READMIT_TOKEN_FILE: others can see this."),
    ] = None,
    state: Annotated[Path | None, typer.Option(help="Where progress is kept; beside FILE unless given.")] = None,
) -> None:
    """Post a file of CloudEvents to intake in batches; run again to resume after an interruption."""
    from deploy.commands import import_events as command

    command.import_events(file, url=url, token=token, state=state)


LetterIds = Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Such as notifier-12.")]
Topics = Annotated[list[str] | None, typer.Option("--topic", metavar="T", help="Only of this topic; may be repeated.")]
Groups = Annotated[list[str] | None, typer.Option("--group", metavar="G", help="Only of this group; may be repeated.")]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="Only those parked at or after this; ISO 8601.")]
Reason = Annotated[
    str | None, typer.Option(metavar="R", help="malformed, refused or failed; else a part of the reason's text.")
]
By = Annotated[str | None, typer.Option(metavar="WHO", help="Who does it, for the record; else this system's user.")]
All = Annotated[bool, typer.Option("--all", help="All that are parked.")]


@letters_app.command("list")
def dead_letters_list(
    topic: Topics = None,
    group: Groups = None,
    since: Since = None,
    reason: Reason = None,
    state: Annotated[
        list[str] | None, typer.Option(metavar="S", help="parked, replaying, replayed or dropped; may be repeated.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="A page of N; 0 is all. 100 unless --json.")
    ] = None,
    after: Annotated[str | None, typer.Option(metavar="ID", help="The page after this one.")] = None,
    json: Annotated[bool, typer.Option("--json", help="A JSON object a line.")] = False,
    with_bytes: Annotated[
        bool, typer.Option("--bytes", help="With --json: key, headers and value too, in base64.")
    ] = False,
) -> None:
    """List what could not be processed, oldest first.

    Covers every service whose READMIT_<SERVICE>_DATABASE_URL is set. Needs no broker.
    """
    from deploy.commands import dead_letters as command

    selection = command.select(topic, group, since, reason, state)
    command.list_(os.environ, selection, command.Form(json, with_bytes), limit=limit, after=after)


@letters_app.command("show")
def dead_letters_show(
    letter: Annotated[str, typer.Argument(metavar="ID", help="Such as notifier-12.")],
    raw: Annotated[bool, typer.Option("--raw", help="Exactly the bytes of the value, and nothing else.")] = False,
    json: Annotated[bool, typer.Option("--json", help="A JSON object; all bytes in base64.")] = False,
) -> None:
    """Show one of them: reason, key, headers, what was done about it, and its bytes."""
    from deploy.commands import dead_letters as command

    command.show(os.environ, letter, raw=raw, as_json=json)


@letters_app.command("replay")
def dead_letters_replay(
    ids: LetterIds = None,
    everything: All = False,
    topic: Topics = None,
    group: Groups = None,
    since: Since = None,
    reason: Reason = None,
    by: By = None,
    wait: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for the outcome.")] = 30,
) -> None:
    """Have the service that could not process them try again; no other service sees it.

    Each has its effect once. Ends with 1 when any fails again: it is parked again then.
    """
    from deploy.commands import dead_letters as command

    chosen = command.Chosen(ids or [], everything, command.select(topic, group, since, reason, None))
    raise typer.Exit(command.replay(os.environ, chosen, by=by, wait=wait))


@letters_app.command("drop")
def dead_letters_drop(
    because: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept with it.")],
    ids: LetterIds = None,
    everything: All = False,
    topic: Topics = None,
    group: Groups = None,
    since: Since = None,
    reason: Reason = None,
    by: By = None,
) -> None:
    """Settle them without an effect. Their bytes are kept, and they can still be replayed by id."""
    from deploy.commands import dead_letters as command

    chosen = command.Chosen(ids or [], everything, command.select(topic, group, since, reason, None))
    command.drop(os.environ, chosen, by=by, because=because)


@app.command()
def replay(
    since: Annotated[str | None, typer.Option(metavar="TIME", help="ISO 8601; UTC unless it says otherwise.")] = None,
    topic: Annotated[list[str] | None, typer.Option(metavar="T", help="Only this topic; may be repeated.")] = None,
) -> None:
    """Publish again from the services' ledgers, after a broker was lost.

    Covers every service whose READMIT_<SERVICE>_DATABASE_URL is set. Consumers have each event's effect once.
    """
    from deploy.commands import replay as command

    command.replay(os.environ, since=command.parse_time(since), topics=topic)


@app.command()
def rebuild(
    service: Annotated[Literal["enrichment", "notifier", "recovery"], typer.Argument()],
    check: Annotated[bool, typer.Option("--check", help="Only compare; exit 1 when a table differs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the digests as JSON.")] = False,
    allow_unknown: Annotated[
        bool, typer.Option("--allow-unknown", help="Go on though events that were consumed are in no ledger any more.")
    ] = False,
    data_dir: Annotated[
        Path, typer.Option(metavar="DIR", help="Takes its settings from the `readmit up` that runs here, if any.")
    ] = Path("var"),
) -> None:
    """Make a service's projections anew from the ledgers, and print a digest of each table before and after.

    The service may run meanwhile. Needs its settings, and READMIT_<SERVICE>_DATABASE_URL of those whose events it
    consumes.
    """
    from deploy.commands import rebuild as command

    exit_code = command.rebuild(
        service, os.environ, data_dir, check=check, as_json=as_json, allow_unknown=allow_unknown
    )
    raise typer.Exit(exit_code)


@app.command()
def doctor(
    data_dir: Annotated[
        Path, typer.Option(metavar="DIR", help="Also looks at the `readmit up` that runs here, if any.")
    ] = Path("var"),
) -> None:
    """Check configuration, broker, database, SMTP and GeoIP, and say for each what to do."""
    from deploy.commands import doctor as command

    raise typer.Exit(command.doctor(os.environ, data_dir))


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    print(installed("readmit"))


def main() -> None:
    """Run the command; what people can put right ends with a message and no traceback."""
    try:
        app()
    except CommandError as error:
        print(f"readmit: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
