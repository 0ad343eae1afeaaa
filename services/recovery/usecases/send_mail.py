"""One attempt at one mail.

The job holds no secret. At each attempt a new code or token is made, its hash is committed beside the action's others,
and only then is the mail handed over, under a new Message-ID: whatever crashes in between costs a second mail, never a
code that was sent and is not known, nor one that is known and was stored.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from services.recovery.domain.account import Account
from services.recovery.domain.actions import LIVE, Action, ActionStatus, Lifetimes, why_over
from services.recovery.domain.permissions import Permissions
from services.recovery.domain.secrets import (
    TOKEN_BYTES,
    RandomBytes,
    SecretSealer,
    new_code,
    selector_of,
    show_code,
)
from services.recovery.ports import (
    Credential,
    HashesOfAddress,
    Letter,
    MailFailure,
    MailJob,
    Post,
    Transaction,
    Transactions,
)
from services.recovery.usecases.chronicle import SERVICE, Chronicle, common
from shared.kit.clock import NewId
from shared.schemas.recovery import (
    AccessEmailSent,
    AccessEmailSentData,
    ActionDenied,
    ActionDeniedData,
    ActionKind,
    CodeSent,
    CodeSentData,
    MailFailed,
    MailFailedData,
    MailPurpose,
)

_SELECTOR_TRIES = 32  # a taken selector is one in a million; 32 in a row are no accident


class TryAgain(Exception):
    """The mail was not taken and is to be tried again later."""


class SendMail:
    """Sends the mail that carries the code or link, and the notices to the owner."""

    def __init__(
        self,
        transactions: Transactions,
        permissions: Permissions,
        lifetimes: Lifetimes,
        sealer: SecretSealer,
        hashes: HashesOfAddress,
        post: Post,
        chronicle: Chronicle,
        *,
        new_id: NewId,
        new_message_id: Callable[[], str],
        new_token: Callable[[int], str],
        random_bytes: RandomBytes,
        pause_before: Callable[[int], float],
    ) -> None:
        self._transactions = transactions
        self._permissions = permissions
        self._lifetimes = lifetimes
        self._sealer = sealer
        self._hashes = hashes
        self._post = post
        self._chronicle = chronicle
        self._new_id = new_id
        self._new_message_id = new_message_id
        self._new_token = new_token
        self._random_bytes = random_bytes
        self._pause_before = pause_before

    async def __call__(self, mail_id: str) -> None:
        """Raises TryAgain."""
        async with self._transactions.begin() as tx:
            letter = await self._prepare(tx, mail_id)
        if letter is None:
            return
        try:
            await self._post.send(letter)
        except MailFailure as failure:
            if not await self._settle_failure(mail_id, failure, letter):
                raise TryAgain from None
        else:
            await self._settle_success(mail_id, letter)

    async def _prepare(self, tx: Transaction, mail_id: str) -> Letter | None:
        mail = await tx.mails.find(mail_id, lock=True)
        action = await tx.actions.find(mail.action_id, lock=True) if mail else None
        if mail is None or action is None or mail.status != "queued":
            return None
        account = await tx.accounts.find(action.account_id)
        now = await tx.now()
        if mail.recipient is None and not await self._may_send(tx, mail, action, account):
            return None
        if now > mail.created_at + self._horizon(mail, action):
            await self._give_up(tx, mail, action, None)
            return None
        if account is None:
            await tx.mails.finish(mail_id, "cancelled")
            return None
        message_id = self._new_message_id()
        attempt = await tx.mails.count_attempt(mail_id, message_id)
        if mail.recipient is not None:
            return Letter(action, account, mail.recipient, message_id, now)
        if attempt == 1:
            # With the first code and not before: whoever may not act has not acted.
            for address in account.owner_addresses:
                await tx.mails.add(self._new_id(), action.action_id, address)
        secret, expires_at = await self._new_secret(tx, action, account)
        return Letter(action, account, account.email, message_id, now, secret, expires_at)

    async def _may_send(self, tx: Transaction, mail: MailJob, action: Action, account: Account | None) -> bool:
        """Asks again, now that it is carried out, whether it may be; ends the action where it may not."""
        if action.status is ActionStatus.USED and mail.attempts:
            # Whoever used it had it by mail: the server took an attempt, and nobody lived to write that down.
            await self._sent(tx, mail, action, mail.message_id, action.expires_at)
            return False
        if action.status not in LIVE:
            await tx.mails.finish(mail.mail_id, "cancelled")
            return False
        over = why_over(action, account, self._hashes(account.email) if account else ())
        if over is None and account is not None and not account.deliverable:
            over = "no-address"
        if over is not None or account is None:
            await tx.actions.end(action.action_id, ActionStatus.CANCELLED, over)
            await self._chronicle.cancelled(tx, action, over or "account-removed")
            await tx.mails.finish(mail.mail_id, "cancelled")
            return False
        denial = self._permissions.denial(await tx.accounts.find(action.actor), action.kind, account)
        if denial is None:
            return True
        await tx.actions.end(action.action_id, ActionStatus.DENIED, denial.rule.value)
        data = ActionDeniedData(
            **common(action, action.actor),
            reason=denial.rule.value,
            given_reason=action.reason,
            details=action.details,
            verification=action.verification,
        )
        await self._chronicle.record(tx, ActionDenied, data, key=action.account_id)
        await tx.mails.finish(mail.mail_id, "denied")
        return False

    async def _new_secret(self, tx: Transaction, action: Action, account: Account) -> tuple[str, datetime]:
        """A new code or token, as the mail shows it, its hash added to the action's."""
        lifetime = self._lifetimes.of_secret(action.kind)
        address_hash = self._hashes(account.email)[0]
        if action.kind is ActionKind.ACCESS_EMAIL:
            token, credential_id = self._new_token(TOKEN_BYTES), self._new_id()
            sealed = self._sealer.seal(token, credential_id)
            link = Credential(credential_id, sealed, address_hash, lookup=self._sealer.lookups(token)[0])
            expires_at = await tx.actions.add_credential(action.action_id, link, lifetime)
            assert expires_at is not None
            return token, expires_at
        for _ in range(_SELECTOR_TRIES):
            code, credential_id = new_code(self._random_bytes), self._new_id()
            sealed = self._sealer.seal(code, credential_id)
            credential = Credential(credential_id, sealed, address_hash, selector=selector_of(code))
            expires_at = await tx.actions.add_credential(action.action_id, credential, lifetime)
            if expires_at is not None:
                return show_code(code), expires_at
        raise RuntimeError("no selector is free")

    def _horizon(self, mail: MailJob, action: Action) -> timedelta:
        return self._lifetimes.other_mail if mail.recipient else self._lifetimes.of_mail(action.kind)

    async def _settle_success(self, mail_id: str, letter: Letter) -> None:
        async with self._transactions.begin() as tx:
            mail = await tx.mails.find(mail_id, lock=True)
            if letter.secret is None or mail is None:
                await tx.mails.finish(mail_id, "sent")
            else:
                await self._sent(tx, mail, letter.action, letter.message_id, letter.expires_at)

    async def _sent(
        self, tx: Transaction, mail: MailJob, action: Action, message_id: str | None, expires_at: datetime | None
    ) -> None:
        await tx.mails.finish(mail.mail_id, "sent")
        await tx.actions.mark_sent(action.action_id)
        values = {
            **common(action, SERVICE),
            "attempt": mail.attempts,
            "expires_at": expires_at,
            "message_id": message_id,
        }
        if action.kind is ActionKind.RECOVERY_CODE:
            await self._chronicle.record(tx, CodeSent, CodeSentData(**values), key=action.account_id)
        else:
            await self._chronicle.record(tx, AccessEmailSent, AccessEmailSentData(**values), key=action.account_id)

    async def _settle_failure(self, mail_id: str, failure: MailFailure, letter: Letter) -> bool:
        """Whether that was the end of it."""
        if letter.secret and letter.secret in failure.answer:
            failure = MailFailure(failure.permanent, failure.smtp_status, "(the answer repeated the message)")
        async with self._transactions.begin() as tx:
            mail = await tx.mails.find(mail_id, lock=True)
            action = await tx.actions.find(letter.action.action_id, lock=True)
            if mail is None or action is None:
                return True
            next_at = await tx.now() + timedelta(seconds=self._pause_before(mail.attempts + 1))
            if failure.permanent or next_at > mail.created_at + self._horizon(mail, action):
                await self._give_up(tx, mail, action, failure)
                return True
            await tx.mails.note_failure(mail_id, failure.smtp_status, failure.answer)
            return False

    async def _give_up(self, tx: Transaction, mail: MailJob, action: Action, failure: MailFailure | None) -> None:
        status, answer = (failure.smtp_status, failure.answer) if failure else (None, None)
        await tx.mails.finish(mail.mail_id, "failed", status, answer)
        if mail.recipient is None:
            await tx.actions.end(action.action_id, ActionStatus.FAILED, "email-failed")
        data = MailFailedData(
            **common(action, SERVICE),
            purpose=MailPurpose.ACTION if mail.recipient is None else MailPurpose.OWNER_NOTICE,
            attempts=mail.attempts,
            smtp_status=status if status is not None and 200 <= status <= 599 else None,
            server_answer=answer,
        )
        await self._chronicle.record(tx, MailFailed, data, key=action.account_id)
