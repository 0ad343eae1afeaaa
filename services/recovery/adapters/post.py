"""Recovery's mails: put into words, composed, handed over."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from services.recovery.domain.actions import Action
from services.recovery.ports import Letter, MailFailure
from services.recovery.settings import RecoverySettings
from shared.kit.failpoints import failpoint
from shared.kit.mail.message import Mail, compose, envelope_address
from shared.kit.mail.sender import Mailer, MailFailed, PermanentFailure
from shared.schemas.recovery import ActionKind
from shared.web.mail.render import mail_environment, render_mail
from shared.web.text import one_line

TEMPLATES = Path(__file__).parents[1] / "templates"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def role_of(action: Action) -> str:
    """How the owner is told who acted: the role, not the person."""
    expert = ", with expert mode" if action.actor_expert else ""
    return f"an administrator (data protection access level {action.actor_level}{expert})"


class SmtpPost:
    """The port `Post`."""

    def __init__(self, settings: RecoverySettings, mailer: Mailer) -> None:
        self._settings = settings
        self._mailer = mailer
        self._env = mail_environment(
            [TEMPLATES],
            organisation=settings.organisation,
            support_contact=settings.support_contact,
            signin_url=settings.signin_url,
            link_page=f"{settings.public_recovery_url}/r",
            code_page=f"{settings.public_recovery_url}/recover",
        )

    async def send(self, letter: Letter) -> None:
        sender = envelope_address(self._settings.mail_from)
        try:
            message = self.compose(letter)
        except ValueError as error:  # an address or name that no header can carry: no later attempt will do better
            raise MailFailure(permanent=True, smtp_status=None, answer=type(error).__name__) from None
        try:
            await self._mailer.send(message, sender=sender, recipient=letter.recipient)
        except MailFailed as failure:
            answer = _CONTROL.sub(" ", failure.answer)
            raise MailFailure(isinstance(failure, PermanentFailure), failure.status, answer) from None
        await failpoint("recovery.mail.after-accepted")

    def compose(self, letter: Letter) -> bytes:
        """The message's bytes. Raises ValueError for a header that can't be written."""
        template, subject = self._kind(letter)
        text, html = render_mail(self._env, template, self._facts(letter, subject))
        return compose(
            Mail(
                sender=self._settings.mail_from,
                recipient=letter.recipient,
                subject=subject,
                text=text,
                html=html,
                message_id=letter.message_id,
                date=letter.at,
            )
        )

    def _kind(self, letter: Letter) -> tuple[str, str]:
        organisation = one_line(self._settings.organisation)
        code = letter.action.kind is ActionKind.RECOVERY_CODE
        if letter.secret is None:
            what = "A recovery code" if code else "An access email"
            return "mail/notice", f"{what} was sent for your {organisation} account"
        if code:
            return "mail/code", f"Your recovery code for {organisation}"
        return "mail/access", f"Set a new password for {organisation}"

    def _facts(self, letter: Letter, subject: str) -> dict[str, Any]:
        action = letter.action
        return {
            "subject": subject,
            "account_email": letter.account.email,
            "code_was_sent": action.kind is ActionKind.RECOVERY_CODE,
            "role": role_of(action),
            "reference_id": action.reference_id,
            "requested_at": action.issued_at,
            "expires_at": letter.expires_at,
            "secret": letter.secret,
        }
