"""`readmit up` with stub services: the real supervisor, PostgreSQL, broker and demo."""

import os
import sys
from pathlib import Path

from deploy.errors import CommandError
from deploy.local import stack
from deploy.local.environment import python_module
from deploy.local.tools import Commands


class StubCommands(Commands):
    def service(self, name: str) -> tuple[str, ...]:
        return python_module("tests.integration.up_stubs.service", name)


if __name__ == "__main__":
    folder, port_base, *flags = sys.argv[1:]
    options = stack.Options(
        folder=Path(folder),
        environ=dict(os.environ),
        port_base=int(port_base),
        demo="--demo" in flags,
        kafka="apache" if "apache" in flags else "embedded",
        brokers=int(flags[flags.index("--brokers") + 1]) if "--brokers" in flags else 1,
        commands=StubCommands(cli=python_module("tests.integration.up_stubs.cli")),
    )
    try:
        stack.run(options, lambda _content, _notes: None)
    except CommandError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
