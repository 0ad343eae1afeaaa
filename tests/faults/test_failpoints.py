"""Kill -9 at each place of DESIGN section 5, once: a story that passes it, and then the ledger list.

All places are armed on one stack, and a file of each says that it has acted already; a trial removes the file of its
own. Five of them run with every `make test`, one a service; `make test-faults` runs all.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from shared.kit.failpoints import NAMES
from tests.builders.organisation import an_organisation
from tests.faults.inbox import SparingMailbox
from tests.faults.trial import Grounds, judged, run_trial, tell_story
from tests.stack import running_stack

# One a service; none of them waits for anything but its restart.
SHORT_FORM = frozenset(
    {
        "intake.request.before-answer",
        "enrichment.consumer.before-offset-commit",
        "notifier.resolution.after",
        "recovery.redeem.mid-transaction",
        "audit.append.while-signing",
    }
)


def in_turn() -> Iterator[str]:
    """Another service each time: one that dies again and again is started with growing pauses."""
    of_service: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(NAMES, key=lambda name: (name not in SHORT_FORM, name)):
        of_service[name.partition(".")[0]].append(name)
    while any(of_service.values()):
        for names in of_service.values():
            if names:
                yield names.pop(0)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def grounds(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Grounds]:
    folder = Path(tmp_path_factory.mktemp("failpoints"))
    fired = folder / "fired"
    fired.mkdir()
    for name in NAMES:
        (fired / name).touch()
    hash_key = base64.b64encode(secrets.token_bytes(32)).decode()
    settings = {
        "READMIT_ENVIRONMENT": "test",
        "READMIT_FAILPOINTS": ",".join(f"{name}=kill" for name in NAMES),
        "READMIT_FAILPOINTS_DIR": str(fired),
        "READMIT_HASH_KEY": hash_key,
        "READMIT_NOTIFY_MAX_PER_HOUR": "0",  # every request is a message: what is counted is not collected
        "READMIT_RECOVERY_LIMIT_NETWORK": "",
    }
    options = ("--kafka", "apache") if os.environ.get("READMIT_TEST_KAFKA") == "apache" else ()
    async with running_stack(folder, environment=settings, mailbox=SparingMailbox(), options=options) as stack:
        org = await an_organisation(stack)
        grounds = Grounds(stack, org, fired, hash_key)
        grounds.evidence.eligible = {person.account_id: person.address for person in (org.helper, org.expert)}
        await tell_story(grounds)  # the story as such works, and all know the organisation
        assert [verdict for verdict in await judged(grounds) if not verdict.holds] == []
        yield grounds


@pytest.mark.faults
@pytest.mark.parametrize(
    "point", [pytest.param(name, marks=() if name in SHORT_FORM else pytest.mark.exhaustive) for name in in_turn()]
)
async def test_a_kill_here_loses_nothing_and_repeats_nothing(grounds: Grounds, point: str) -> None:
    offenders = [f"{verdict.name}: {line}" for verdict in await run_trial(grounds, point) if not verdict.holds
                 for line in verdict.first]  # fmt: skip
    assert offenders == []
