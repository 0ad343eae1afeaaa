"""The `readmit` command. Each command imports what it needs when it runs, so that `--help` answers at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    name="readmit",
    help="Gets people who are locked out of their account back in, and can prove how it happened.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
topics_app = typer.Typer(help="The Kafka topics.", no_args_is_help=True)
app.add_typer(topics_app, name="topics")

Service = Literal["intake", "enrichment", "notifier", "recovery", "audit"]


@app.command()
def up(
    demo: Annotated[
        bool, typer.Option("--demo", help="Add an identity platform, a mailbox and an organisation.")
    ] = False,
    data_dir: Annotated[Path, typer.Option(metavar="DIR", help="Where all data lives.")] = Path("var"),
    port_base: Annotated[int, typer.Option(metavar="N", help="Listens on the ports N to N+8 of 127.0.0.1.")] = 8100,
    kafka: Annotated[
        Literal["embedded"], typer.Option(help="The broker. Another one: READMIT_KAFKA_BOOTSTRAP_SERVERS.")
    ] = "embedded",
) -> None:
    """Run broker, PostgreSQL and the five services here, until Ctrl-C.

    Settings in the environment win over the embedded ones. Without --demo it needs READMIT_AUTH_JWKS,
    READMIT_AUTH_ISSUER and READMIT_SMTP_URL.
    """
    from deploy.commands import up as command

    command.up(demo=demo, folder=data_dir, port_base=port_base)


def main() -> None:
    """Run the command; what people can put right ends with a message and no traceback."""
    from deploy.local.errors import StackError

    try:
        app()
    except StackError as error:
        print(f"readmit: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
