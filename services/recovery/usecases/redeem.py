"""Using a code or a link: counted first, compared in constant time, used up by one statement."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from services.recovery.domain.actions import MAX_WRONG_ATTEMPTS, Action, ActionStatus, why_over
from services.recovery.domain.problems import InvalidOrExpired
from services.recovery.domain.secrets import CODE_LENGTH, SecretSealer, read_code, selector_of
from services.recovery.ports import (
    Caller,
    Candidate,
    HashesOfAddress,
    Rejections,
    SignGrant,
    Transaction,
    Transactions,
    Window,
)
from services.recovery.usecases.chronicle import Chronicle, common
from shared.schemas.action import ANONYMOUS
from shared.schemas.recovery import (
    AccessLinkUsed,
    AccessLinkUsedData,
    ActionKind,
    CodeRedeemed,
    CodeRedeemedData,
    CodeRejected,
    CodeRejectedData,
    GrantedAction,
)
from shared.schemas.values import MAX_ADDRESS_LENGTH

REJECTION_WINDOW = timedelta(minutes=1)
"""Refused attempts on an address within this time are one event."""

# At once, in one process: attempts on one account wait for one row, and must not wait with every connection there is
# (the pool has at least 14, of which the desk and the projections need some).
_PLACES = 8

_NO_CODE = "0" * CODE_LENGTH  # stands in for what is no code, so that it costs the same
_NO_SELECTOR = "-" * 4  # no selector is this: hyphens are not in the alphabet


class Redeem:
    """Both ways in. Whatever is wrong, the caller learns only InvalidOrExpired, after the same work."""

    def __init__(
        self,
        transactions: Transactions,
        sealer: SecretSealer,
        hashes: HashesOfAddress,
        window: Window,
        sign_grant: SignGrant,
        chronicle: Chronicle,
    ) -> None:
        self._transactions = transactions
        self._sealer = sealer
        self._hashes = hashes
        self._window = window
        self._sign_grant = sign_grant
        self._chronicle = chronicle
        self._places = asyncio.Semaphore(_PLACES)

    async def code(self, caller: Caller, network: str, email: str, code: str, actions: Sequence[GrantedAction]) -> str:
        """A grant for these actions. Raises InvalidOrExpired."""
        async with self._places:
            return await self._code(caller, network, email, code, actions)

    async def _code(self, caller: Caller, network: str, email: str, code: str, actions: Sequence[GrantedAction]) -> str:
        address = email.strip()
        hashes = self._hashes(address if len(address) <= MAX_ADDRESS_LENGTH else "")
        read = read_code(code)
        selector = selector_of(read) if read is not None else _NO_SELECTOR
        async with self._transactions.begin() as tx:
            # Committed before the comparison: an attempt that crashes, or is one of many at once, counts all the same.
            candidates = await tx.credentials.count_attempt(hashes, selector, self._window)
        match = self._match(candidates, read or _NO_CODE)
        if match is None:
            await self._reject(hashes[0], network, candidates)
            raise InvalidOrExpired
        action = await self._use_up(caller, match, actions)
        return self._grant(action, actions)

    async def link(self, caller: Caller, token: str) -> str:
        """A grant to set a new password. Raises InvalidOrExpired."""
        async with self._places:
            return await self._link(caller, token)

    async def _link(self, caller: Caller, token: str) -> str:
        async with self._transactions.begin() as tx:
            candidate = await tx.credentials.find_link(self._sealer.lookups(token))
        match = self._match([candidate] if candidate else [], token)
        if match is None:
            raise InvalidOrExpired
        actions = [GrantedAction.RESET_PASSWORD]
        action = await self._use_up(caller, match, actions)
        return self._grant(action, actions)

    def _match(self, candidates: Sequence[Candidate], secret: str) -> Candidate | None:
        """The candidate that the secret is of. With none, one comparison is made all the same."""
        if not candidates:
            self._sealer.matches(None, secret, "")
            return None
        found = [item for item in candidates if self._sealer.matches(item.sealed, secret, item.credential_id)]
        return found[0] if found else None

    async def _use_up(self, caller: Caller, match: Candidate, actions: Sequence[GrantedAction]) -> Action:
        async with self._transactions.begin() as tx:
            redeemed = await self._redeem(tx, caller, match, actions)
        if redeemed is None:
            raise InvalidOrExpired
        return redeemed

    async def _redeem(
        self, tx: Transaction, caller: Caller, match: Candidate, actions: Sequence[GrantedAction]
    ) -> Action | None:
        account = await tx.accounts.find(match.account_id, lock=True)
        action = await tx.actions.find(match.action_id)
        if action is None:
            return None
        redeemed = None
        over = why_over(action, account, self._hashes(account.email) if account else ())
        if over is not None:
            ended = await tx.actions.end(action.action_id, ActionStatus.CANCELLED, over)
            if ended is not None:
                await self._chronicle.cancelled(tx, ended, over)
        else:
            redeemed = await tx.actions.redeem(match.action_id, match.credential_id)
        if redeemed is not None:
            await self._record_use(tx, caller, redeemed, actions)
        if match.attempt:
            # The secret was right. After the action, in the order in which attempts lock: no deadlock between the two.
            await tx.credentials.give_back(match.account_id)
        return redeemed

    async def _record_use(
        self, tx: Transaction, caller: Caller, action: Action, actions: Sequence[GrantedAction]
    ) -> None:
        values = {
            **common(action, ANONYMOUS),
            "actions": tuple(actions),
            "ip": caller.ip,
            "user_agent": caller.user_agent,
        }
        if action.kind is ActionKind.RECOVERY_CODE:
            await self._chronicle.record(tx, CodeRedeemed, CodeRedeemedData(**values), key=action.account_id)
        else:
            await self._chronicle.record(tx, AccessLinkUsed, AccessLinkUsedData(**values), key=action.account_id)

    async def _reject(self, address_hash: str, network: str, candidates: Sequence[Candidate]) -> None:
        async with self._transactions.begin() as tx:
            await tx.credentials.reject(address_hash, network, REJECTION_WINDOW)
            for candidate in candidates:
                if candidate.attempt < MAX_WRONG_ATTEMPTS:
                    continue
                killed = await tx.actions.end(candidate.action_id, ActionStatus.KILLED, "too-many-attempts")
                if killed is not None:
                    for rejections in await tx.credentials.take_rejections(1, address_hash):
                        await record_rejections(tx, self._chronicle, rejections, killed)

    def _grant(self, action: Action, actions: Sequence[GrantedAction]) -> str:
        return self._sign_grant(
            account_id=action.account_id,
            actions=[item.value for item in actions],
            reference_id=action.reference_id,
        )


async def record_rejections(
    tx: Transaction, chronicle: Chronicle, rejections: Rejections, killed: Action | None = None
) -> None:
    """One event for the refused attempts of a window; names the action that they killed."""
    account_id = killed.account_id if killed else rejections.account_id
    data = CodeRejectedData(
        actor=ANONYMOUS,
        subject=account_id,
        reference_id=killed.reference_id if killed else None,
        email_hash=None if account_id else rejections.address_hash,
        count=rejections.count,
        window_start=rejections.window_start,
        window_end=rejections.window_end,
        networks=rejections.networks,
        action_id=killed.action_id if killed else None,
        reason="too-many-attempts" if killed else None,
    )
    await chronicle.record(tx, CodeRejected, data, key=account_id or rejections.address_hash)
