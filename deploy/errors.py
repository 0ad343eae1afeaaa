"""What stops the `readmit` command with a message for people instead of a traceback."""

USAGE = 2


class CommandError(Exception):
    """Something a person can put right. The message says what, and where to look."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class MissingSettingsError(CommandError):
    """Settings without a default that the environment doesn't hold."""

    def __init__(self, names: list[str], hint: str) -> None:
        super().__init__(f"missing settings: {', '.join(names)}. {hint}", exit_code=USAGE)


class PortTakenError(CommandError):
    """Another program listens where one of ours should."""

    def __init__(self, port: int, use: str) -> None:
        super().__init__(
            f"port {port} ({use}) is taken by another program. Stop it, or choose other ports with --port-base.",
            exit_code=USAGE,
        )


class AlreadyRunningError(CommandError):
    """Another `readmit up` holds the data folder."""
