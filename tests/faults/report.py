"""The report for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from tests.faults.killer import TARGETS
from tests.faults.ledger import copies_of
from tests.faults.soak import Outcome


def print_report(outcome: Outcome, console: Console) -> None:
    """Three tables: what was killed, what was asked and done, what holds."""
    console.print(_kills(outcome))
    console.print(_work(outcome))
    console.print(_checks(outcome))
    console.print("[bold green]holds[/]" if outcome.holds else "[bold red]does not hold[/]")


def _kills(outcome: Outcome) -> Table:
    plan = outcome.plan
    table = Table(title=f"{plan.kills} kills, seed {plan.seed}, {plan.kafka} broker", title_justify="left")
    for name in ("killed", "times", "ready again p50 (s)", "max (s)"):
        table.add_column(name, justify="left" if name == "killed" else "right")
    for target in (*TARGETS, "all"):
        kills = [kill for kill in outcome.evidence.kills if target in {kill.target, "all"}]
        times = sorted(kill.ready_after for kill in kills if kill.ready_after is not None)
        middle, longest = (f"{times[len(times) // 2]:.1f}", f"{times[-1]:.1f}") if times else ("–", "–")
        table.add_row(target, str(len(kills)), middle, longest)
    return table


def _work(outcome: Outcome) -> Table:
    evidence, seconds = outcome.evidence, outcome.load_seconds
    table = Table(title=f"{seconds:.0f} s of load, outages included", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, count in sorted(outcome.counts.items()):
        rate = f" ({count / seconds:.1f} a second)" if name in {"requests attempted", "requests accepted"} else ""
        table.add_row(name, f"{count}{rate}")
    copies = copies_of(evidence.mails)
    table.add_row("mails taken by the server", str(len(evidence.mails)))
    table.add_row("of them copies of an earlier one", str(sum(len(found) - 1 for found in copies.values())))
    table.add_row("events published", str(len(evidence.ledger)))
    table.add_row("records in the log", str(len(evidence.leaves)))
    rest = "never" if evidence.settled_after is None else f"{evidence.settled_after:.1f} s"
    table.add_row("came to rest after", rest)
    return table


def _checks(outcome: Outcome) -> Table:
    table = Table(title="What must hold", title_justify="left")
    table.add_column("check")
    table.add_column("looked at", justify="right")
    table.add_column("verdict")
    for verdict in outcome.verdicts:
        said = "[green]holds[/]" if verdict.holds else "[red]fails:[/]\n" + "\n".join(verdict.first)
        table.add_row(verdict.name, str(verdict.looked_at), said)
    return table
