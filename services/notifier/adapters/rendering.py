"""Messages as text and HTML, and as bytes with the headers of one recipient.

Serialising the parts costs more than anything else, and they are the same for all administrators who read one language
in one time zone: they are made once and the headers of each recipient put before them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.notifier.adapters.catalogs import language_of, translations_of, zone_of
from services.notifier.adapters.isolation import isolated
from services.notifier.domain.content import Content, Digest, content, digest
from services.notifier.domain.delivery import Delivery, Recipient, Told
from services.notifier.domain.wording import Limits, Wording, one_line
from shared.kit.mail.message import Mail, compose_content, compose_head
from shared.schemas.enrichment import AssistanceEnrichedData
from shared.schemas.notifier import Via
from shared.web.mail.render import mail_environment, render_mail
from shared.web.text import direction

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"

MAX_BYTES = 60_000
"""Of a whole message (contract, section 6); mail readers clip longer ones at about 100 KB."""
_HEADERS_BYTES = 3_000  # room that is left for them
_BODIES_KEPT = 64
_NAME_CHARACTERS = 80
_DIGEST_MOST = 100  # requests; about what fits, so that few tries are for nothing

# Tried in turn until the message is small enough. The last keeps any message that the schema allows under the limit.
_LIMITS = (Limits(), Limits(10, 250), Limits(5, 150), Limits(5, 80), Limits(3, 40), Limits(2, 20))


@dataclass(frozen=True, slots=True)
class Sender:
    """Who messages come from."""

    mail_from: str
    domain: str
    organisation: str
    support_contact: str
    recovery_url: str

    @property
    def list_id(self) -> str:
        """RFC 2919: names the list, so that readers can filter for it."""
        return f"<assistance-requests.readmit.{self.domain}>"


@dataclass(frozen=True, slots=True)
class Body:
    """The subject, and the MIME parts with their header lines."""

    subject: str
    content: bytes


class Renderer:
    """`ports.Composer`."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._environment = mail_environment(
            [TEMPLATES],
            organisation=one_line(sender.organisation, 200),
            support_contact=one_line(sender.support_contact, 200),
        )
        self._bodies: OrderedDict[tuple[str, ...], Body] = OrderedDict()

    async def start(self) -> None:
        """Compiles templates and imports codecs, which would cost the first request half a second."""
        for name in ("notification.txt", "notification.html", "digest.txt", "digest.html"):
            self._environment.get_template(name)
        compose_content("", "")

    async def stop(self) -> None:
        """There is nothing to stop."""

    def message(self, delivery: Delivery, recipient: Recipient, told: Sequence[Told]) -> bytes:
        """The delivery as it goes over the wire. Raises ValueError for a header that can't be written safely."""
        data = [item.data for item in told]
        language, zone = language_of(recipient.locale), recipient.time_zone or ""
        named = ("digest", delivery.id) if delivery.via is Via.DIGEST else ("message", data[0].reference_id)
        body = self._body((*named, language, zone), data, delivery.via)
        headers = {"List-Id": self._sender.list_id}
        if delivery.via is Via.MESSAGE:
            headers["X-Readmit-Reference"] = data[0].reference_id
        head = compose_head(
            Mail(
                sender=self._sender.mail_from,
                recipient=recipient.address,
                recipient_name=_printable(recipient.name),
                subject=body.subject,
                text="",
                html="",
                message_id=delivery.message_id,
                date=delivery.created_at,
                headers=headers,
            )
        )
        return head + body.content

    def digest_parts(self, recipient: Recipient, told: Sequence[Told]) -> list[list[Told]]:
        """Halves what is too long for one message until each part fits."""
        if len(told) > _DIGEST_MOST:
            chunks = [told[start : start + _DIGEST_MOST] for start in range(0, len(told), _DIGEST_MOST)]
            return [part for chunk in chunks for part in self.digest_parts(recipient, chunk)]
        language, zone = language_of(recipient.locale), recipient.time_zone or ""
        data = [item.data for item in told]
        fits = self._fits(lambda limits: self._digest(data, language, zone, limits), _LIMITS[:2])
        if fits is not None or len(told) == 1:
            return [list(told)]
        middle = len(told) // 2
        return [*self.digest_parts(recipient, told[:middle]), *self.digest_parts(recipient, told[middle:])]

    def render(
        self, data: AssistanceEnrichedData, language: str, zone: str, limits: Limits
    ) -> tuple[Content, str, str]:
        """What a message says, as content, text and HTML."""
        translations = translations_of(language)
        said = content(data, Wording(translations, zone_of(zone), limits), self._sender.recovery_url)
        text, html = self._both("notification", "content", said, language)
        return said, text, html

    def render_digest(
        self, data: Sequence[AssistanceEnrichedData], language: str, zone: str, limits: Limits
    ) -> tuple[Digest, str, str]:
        """What a digest says, as content, text and HTML."""
        translations = translations_of(language)
        said = digest(data, Wording(translations, zone_of(zone), limits), self._sender.recovery_url)
        text, html = self._both("digest", "digest", said, language)
        return said, text, html

    def _both(self, template: str, name: str, said: Content | Digest, language: str) -> tuple[str, str]:
        def render(shown: Content | Digest) -> tuple[str, str]:
            return render_mail(
                self._environment, template, {name: shown}, lang=language, translations=translations_of(language)
            )

        text, html = render(said)
        return (text, render(isolated(said))[1]) if direction(language) == "rtl" else (text, html)

    def _body(self, key: tuple[str, ...], data: Sequence[AssistanceEnrichedData], via: Via) -> Body:
        body = self._bodies.get(key)
        if body is None:
            *_, language, zone = key
            if via is Via.MESSAGE:
                body = self._fits(lambda limits: self._message(data[0], language, zone, limits), _LIMITS)
            else:
                body = self._fits(lambda limits: self._digest(data, language, zone, limits), _LIMITS)
            if body is None:
                raise ValueError("the message is too long")
            self._bodies[key] = body
        self._bodies.move_to_end(key)
        while len(self._bodies) > _BODIES_KEPT:
            self._bodies.popitem(last=False)
        return body

    def _message(self, data: AssistanceEnrichedData, language: str, zone: str, limits: Limits) -> Body:
        said, text, html = self.render(data, language, zone, limits)
        return Body(said.subject, compose_content(text, html))

    def _digest(self, data: Sequence[AssistanceEnrichedData], language: str, zone: str, limits: Limits) -> Body:
        said, text, html = self.render_digest(data, language, zone, limits)
        return Body(said.subject, compose_content(text, html))

    @staticmethod
    def _fits(make: Callable[[Limits], Body], limits: Sequence[Limits]) -> Body | None:
        for limit in limits:
            body = make(limit)
            if len(body.content) <= MAX_BYTES - _HEADERS_BYTES:
                return body
        return None


def _printable(name: str) -> str:
    """A display name for the `To` header, without what could reorder or hide (shared.web.text does it for bodies)."""
    return one_line("".join(c for c in name if c.isprintable()), _NAME_CHARACTERS)
