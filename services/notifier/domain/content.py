"""What a notification says, section by section: one list of facts that the text and the HTML are both made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from services.notifier.domain import cautions
from services.notifier.domain.wording import Value, Wording
from shared.schemas.enrichment import AccountContext, AssistanceEnrichedData, FactState, Match, RequestContext


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with its facts, each a label and a value or a list of values."""

    heading: str
    facts: tuple[tuple[str, Value], ...]


@dataclass(frozen=True, slots=True)
class Content:
    """A notification in one language."""

    subject: str
    title: str
    summary: tuple[str, ...]
    """In whole sentences, what must be understood first: who asks, and whether they ask from a usual place."""
    unusual: str
    """What is unusual by name, or that nothing is: the text comes to the reasons only after the sections."""
    sections: tuple[Section, ...]
    caution_heading: str
    cautions: tuple[str, ...]
    advice_heading: str
    advice: tuple[str, ...]
    footer: str


def content(data: AssistanceEnrichedData, wording: Wording, recovery_url: str) -> Content:
    """Say all that is known of a request."""
    _ = wording._
    issue = wording.issue(data.request.issue)
    sections = [_request_details(data, wording)]
    if data.match is Match.EXACT and data.context is not None:
        sections += [_account_status(data.context, wording), _security_events(data.context, wording)]
    sections.append(_request_context(data.request, wording))
    return Content(
        # Nothing that the requester wrote, and nothing else that a stranger could choose.
        subject=_("[%(reference)s] Assistance request: %(issue)s") % {"reference": data.reference_id, "issue": issue},
        title=_("Assistance request: %(issue)s") % {"issue": issue},
        summary=_summary(data, wording),
        unusual=_unusual(data, wording),
        sections=tuple(sections),
        caution_heading=_("Caution"),
        cautions=tuple(cautions.say(caution, wording) for caution in data.cautions[: wording.limits.items]),
        advice_heading=_("Before you act"),
        advice=_advice(data, wording, recovery_url),
        footer=_("You get this because your account may help other people back into theirs."),
    )


def _who(data: AssistanceEnrichedData, wording: Wording) -> str:
    _ = wording._
    account = data.resolved
    if account is None:
        return (
            _("none found (several accounts have this address)") if data.match is Match.AMBIGUOUS else _("none found")
        )
    name = wording.cut(account.display_name) or _("no name")
    return f"{name} ({wording.cut(account.account_id)})"


def _summary(data: AssistanceEnrichedData, wording: Wording) -> tuple[str, ...]:
    _ = wording._
    if data.resolved is None:
        who = _("Somebody asks for help with an address that belongs to no account.")
        if data.match is Match.AMBIGUOUS:
            who = _("Somebody asks for help with an address that several accounts have.")
    else:
        who = _("Somebody asks for help as %(who)s. Nobody has checked yet that it is them.") % {
            "who": _who(data, wording)
        }
    return (who,) if data.resolved is None else (who, _usual_place(data.request, wording))


def _unusual(data: AssistanceEnrichedData, wording: Wording) -> str:
    _ = wording._
    if not data.cautions:
        return _("Nothing unusual was noticed, which proves nothing about who is asking.")
    called = cautions.names(wording)
    unusual = dict.fromkeys(called[caution.code] for caution in data.cautions)
    return _("What is unusual: %(list)s.") % {"list": ", ".join(unusual)}


def _usual_place(request: RequestContext, wording: Wording) -> str:
    _ = wording._
    ip, network = request.ip_used_before, request.network_used_before
    if ip.value and ip.value.used:
        return _("It came from an IP address that this account has signed in from before.")
    if network.value and network.value.used:
        return _("It came from a network that this account has signed in from before, but from another IP address.")
    if FactState.UNKNOWN in (ip.state, network.state):
        return _("Whether this account has signed in from there before is unknown.")
    return _("It came from a network that this account has not been seen to sign in from.")


def _request_details(data: AssistanceEnrichedData, wording: Wording) -> Section:
    _ = wording._
    request = data.request
    facts = (
        (_("Reference ID"), data.reference_id),
        (_("Submitted email"), wording.cut(request.email)),
        (_("Resolved account"), _who(data, wording)),
        (_("Request type"), wording.issue(request.issue)),
        (_("Date and time"), wording.time(request.requested_at)),
        (_("Earlier requests"), wording.earlier(request.earlier_requests, request.suppressed_before)),
    )
    return Section(_("Request details"), facts)


def _account_status(context: AccountContext, wording: Wording) -> Section:
    _ = wording._
    facts = (
        (_("Account exists"), wording.fact(context.account_exists, wording.yes_no)),
        (_("Account active"), wording.fact(context.status, wording.active)),
        (_("Two-factor authentication"), wording.fact(context.two_factor_enabled, wording.enabled)),
        (_("Unused backup codes"), wording.fact(context.unused_backup_codes, str)),
    )
    return Section(_("Account status"), facts)


def _security_events(context: AccountContext, wording: Wording) -> Section:
    _ = wording._
    facts = (
        (_("Last successful sign-in"), wording.fact(context.last_successful_signin, wording.sign_in)),
        (_("Recent sign-in locations"), wording.fact(context.signin_locations, wording.seen)),
        (_("Recent sign-in networks"), wording.fact(context.signin_networks, wording.seen)),
        (_("Recent failed sign-ins"), wording.failed_sign_ins(context.failed_signins)),
        (_("Access email last sent"), wording.fact(context.access_email_last_sent, wording.time)),
        (_("Recovery code last sent"), wording.fact(context.recovery_code_last_sent, wording.time)),
        (_("Two-factor last changed"), wording.fact(context.two_factor_last_changed, wording.time)),
        (_("Backup codes last changed"), wording.fact(context.backup_codes_last_changed, wording.time)),
        (_("Password last changed"), wording.fact(context.password_last_changed, wording.time)),
        (_("Email address last changed"), wording.fact(context.email_last_changed, wording.time)),
    )
    return Section(_("Recent security events"), facts)


def _request_context(request: RequestContext, wording: Wording) -> Section:
    _ = wording._
    facts = (
        (_("IP address"), wording.ip(request)),
        (_("Approximate location"), wording.place(request, request.location, wording.location)),
        (_("Network"), wording.place(request, request.network, wording.network)),
        (_("IP used before for successful sign-in"), wording.used_before(request.ip_used_before)),
        (_("Network used before for successful sign-in"), wording.used_before(request.network_used_before)),
    )
    return Section(_("Request context"), facts)


def _advice(data: AssistanceEnrichedData, wording: Wording, recovery_url: str) -> tuple[str, ...]:
    _ = wording._
    console = f"{recovery_url}/console/users"
    if data.resolved is not None:
        # Not the submitted address: addresses of pages end up in logs.
        console += f"?query={quote(data.resolved.account_id, safe='')}"
    return (
        _("Never act on this email alone."),
        _("Verify the person through a separate channel: call a number that is on file already, or meet them."),
        _("Don't use contact details that came with the request, the submitted address included."),
        _("If you can't verify them, send nothing and close the request as not genuine."),
        _("Users in the console: %(address)s") % {"address": console},
    )


def digest_lines(items: Sequence[AssistanceEnrichedData], wording: Wording) -> tuple[tuple[str, list[str]], ...]:
    """One line a request: its reference, and the facts that tell whether to look it up."""
    lines = []
    for data in items:
        request = data.request
        place = wording.place(request, request.location, wording.location)
        facts = [
            wording.time(request.requested_at),
            wording.issue(request.issue),
            wording.cut(request.email),
            _who(data, wording),
            f"{request.ip}, {place if isinstance(place, str) else ', '.join(place)}",
        ]
        called = cautions.names(wording)
        facts += dict.fromkeys(called[caution.code] for caution in data.cautions)
        lines.append((data.reference_id, facts))
    return tuple(lines)


@dataclass(frozen=True, slots=True)
class Digest:
    """What was kept from a mailbox, in one language."""

    subject: str
    title: str
    summary: tuple[str, ...]
    requests: tuple[tuple[str, list[str]], ...]
    advice_heading: str
    advice: tuple[str, ...]
    footer: str


def digest(items: Sequence[AssistanceEnrichedData], wording: Wording, recovery_url: str) -> Digest:
    """Say of each request what tells whether to look it up."""
    _ = wording._
    title = wording.plural("%(count)d further assistance request", "%(count)d further assistance requests", len(items))
    return Digest(
        subject=title,
        title=title,
        summary=(
            _("So many requests came in that these were kept from your mailbox until the end of the hour."),
            _("They are for addresses that match no account, or for accounts that you were told of shortly before."),
        ),
        requests=digest_lines(items, wording),
        advice_heading=_("Before you act"),
        advice=(
            _("Never act on this email alone."),
            _("Verify the person through a separate channel: call a number that is on file already, or meet them."),
            _("Users in the console: %(address)s") % {"address": f"{recovery_url}/console/users"},
        ),
        footer=_("You get this because your account may help other people back into theirs."),
    )
