"""How long a refill takes: the embedded broker, which forgets, is killed under a stack with many events in its ledgers.

Printed: how long until everything is published again and consumed again, how soon requests that are accepted meanwhile
are mailed, and how long `readmit rebuild enrichment` takes with as many events.

    python -m tests.bench.refill [--events 100000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg

from tests.bench.latency import percentile
from tests.builders.organisation import Organisation, an_organisation
from tests.stack import Stack, account, event, eventually, readmit, running_stack

BATCH, ACCOUNTS, LIMIT_SECONDS = 500, 1000, 1800
_CONSUMED = re.compile(r'readmit_consumer_records_total\{group="([^"]+)",topic="([^"]+)"\} (\S+)')


async def consumed(stack: Stack) -> Counter[tuple[str, str]]:
    """Records that each group has processed, by (group, topic)."""
    found: Counter[tuple[str, str]] = Counter()
    for service in ("enrichment", "notifier", "recovery", "audit"):
        text = (await stack.client.get(f"{stack.ready['ops_urls'][service]}/metrics")).text
        for group, topic, value in _CONSUMED.findall(text):
            found[group, topic] += int(float(value))
    return found


async def each_database(stack: Stack, query: str) -> dict[str, list[Any]]:
    found = {}
    for service, url in stack.ready["databases"].items():
        connection = await asyncpg.connect(url)
        try:
            found[service] = await connection.fetch(query)
        finally:
            await connection.close()
    return found


async def outbox_rows(stack: Stack) -> int:
    query = "SELECT count(*) FROM outbox WHERE queue IN ('relay', 'refill')"
    return sum(rows[0][0] for rows in (await each_database(stack, query)).values())


async def by_topic(stack: Stack) -> Counter[str]:
    """Messages in the ledgers."""
    found: Counter[str] = Counter()
    for rows in (await each_database(stack, "SELECT topic, count(*) FROM ledger GROUP BY topic")).values():
        for topic, count in rows:
            found[topic] += count
    return found


async def behind(stack: Stack, before: Counter[tuple[str, str]], expected: Counter[str]) -> int:
    """How many records the groups have still to process, the one that is furthest behind."""
    now = await consumed(stack)
    left = [expected[topic] - (now[group, topic] - count) for (group, topic), count in before.items()]
    return max(left)


async def post(stack: Stack, events: int) -> float:
    """Posts so many events, a thousandth of them accounts; returns the seconds that it took."""
    started = time.monotonic()
    for start in range(0, events, BATCH):
        batch = [
            account(f"refill-{n}", f"refill-{n}@example.org")
            if n < ACCOUNTS
            else event("signin-succeeded", f"refill-{n % ACCOUNTS}", ip=f"198.51.100.{n % 250}", method="password")
            for n in range(start, min(start + BATCH, events))
        ]
        response = await stack.post_events(*batch)
        assert response.status_code == 202, response.text
    return time.monotonic() - started


async def live_requests(stack: Stack, org: Organisation, until: asyncio.Event) -> list[float]:
    """A request a second for as long as it lasts; seconds until the first administrator's mail of each."""
    sent: list[tuple[str, float]] = []
    while not until.is_set():
        started = time.monotonic()
        sent.append((await stack.request_help(org.person.address), started))
        await asyncio.sleep(1)
    taken = []
    for reference, started in sent:
        mails = await eventually(lambda wanted=reference: stack.mailbox.about(wanted), LIMIT_SECONDS)  # type: ignore[misc]
        taken.append(mails[0].at - started)
    return taken


async def measure(stack: Stack, events: int) -> dict[str, Any]:
    org = await an_organisation(stack)
    figures: dict[str, Any] = {"events": events, "accepted_seconds": round(await post(stack, events), 1)}
    started = time.monotonic()

    warm = await stack.request_help(org.person.address)
    await eventually(lambda: stack.mailbox.about(warm), LIMIT_SECONDS)
    nothing = Counter(dict.fromkeys(await consumed(stack), 0))  # of what the groups read at all

    async def settled() -> bool:
        return await outbox_rows(stack) == 0 and await behind(stack, nothing, await by_topic(stack)) <= 0

    await eventually(settled, LIMIT_SECONDS, what="everything is consumed")
    figures["consumed_seconds"] = round(time.monotonic() - started, 1)
    figures["rebuild"] = await rebuild(stack)
    figures["refill"] = await refill(stack, org)
    return figures


async def rebuild(stack: Stack) -> dict[str, Any]:
    started = time.monotonic()
    exit_code, said = await readmit(stack, "rebuild", "enrichment", "--check", "--json")
    outcome = json.loads(said)
    assert exit_code == 0, said
    return {
        "command_seconds": round(time.monotonic() - started, 1),
        "held_seconds": round(outcome["held_seconds"], 2),
        "events": outcome["events"],
    }


async def refill(stack: Stack, org: Organisation) -> dict[str, Any]:
    before, expected = await consumed(stack), await by_topic(stack)
    stack.refresh()
    os.kill(stack.ready["pids"]["broker"], signal.SIGKILL)
    started, over = time.monotonic(), asyncio.Event()
    requests = asyncio.create_task(live_requests(stack, org, over))
    rows = sum(expected.values()) // 1000  # there are twice as many, of 500 messages; some are sent before we look

    async def is_queued() -> bool:
        return await outbox_rows(stack) >= rows

    await eventually(is_queued, 60, what="the ledgers are queued again")
    queued = time.monotonic() - started
    published = 0.0
    while True:
        left = await behind(stack, before, expected)
        if not published and await outbox_rows(stack) < 5:  # live requests have some too
            published = time.monotonic() - started
        if published and left <= 0:
            break
        assert time.monotonic() - started < LIMIT_SECONDS, f"{left} records behind"
        await asyncio.sleep(0.25)
    total = time.monotonic() - started
    over.set()
    taken = await requests
    return {
        "messages": sum(expected.values()),
        "queued_seconds": round(queued, 1),
        "published_seconds": round(published, 1),
        "consumed_seconds": round(total, 1),
        "live_requests": len(taken),
        "mailed_p50_seconds": round(statistics.median(taken), 2),
        "mailed_p95_seconds": round(percentile(taken, 0.95), 2),
        "mailed_max_seconds": round(max(taken), 2),
    }


async def run(events: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        async with running_stack(Path(folder), environment={"READMIT_NOTIFY_MAX_PER_HOUR": "0"}) as stack:
            return await measure(stack, events)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    print(json.dumps(asyncio.run(run(parser.parse_args().events)), indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
