"""What requesters are told, in their language. Nothing here depends on what became of a request."""

from __future__ import annotations

from gettext import NullTranslations

from shared.schemas.intake import Issue


def confirmation(catalog: NullTranslations) -> str:
    _ = catalog.gettext
    return _("We have received your request. Keep the reference ID: you will be asked for it.")


def service_name(catalog: NullTranslations) -> str:
    _ = catalog.gettext
    return _("Sign-in help")


def issues(catalog: NullTranslations) -> list[tuple[str, str]]:
    """The types of problem, in the order of the form, in the words of the person who has one."""
    _ = catalog.gettext
    return [
        (Issue.LOST_2FA.value, _("I lost my second factor or my backup codes")),
        (Issue.FORGOTTEN_PASSWORD.value, _("I forgot my password and can't reset it myself")),
        (Issue.LOCKED_OUT.value, _("My account is locked after too many failed attempts")),
        (Issue.OTHER.value, _("Something else keeps me from signing in")),
    ]


def form_errors(catalog: NullTranslations) -> dict[str, str]:
    """What is wrong with a field, and what to do about it."""
    _ = catalog.gettext
    return {
        "email": _("Enter one email address, like name@example.org"),
        "issue": _("Choose what keeps you from signing in"),
        "_form": _("The form was not sent as it should be. Fill it in again"),
    }


def throttled(catalog: NullTranslations, minutes: int) -> str:
    return catalog.ngettext(
        "Too many requests came from your network. Try again in %(minutes)d minute",
        "Too many requests came from your network. Try again in %(minutes)d minutes",
        minutes,
    ) % {"minutes": minutes}


def unavailable(catalog: NullTranslations) -> str:
    _ = catalog.gettext
    return _("We could not take your request just now, and nothing was sent. Try again in a moment")


def not_from_here(catalog: NullTranslations) -> tuple[str, str, str]:
    """Title, text and the words of the link of the page for a form that another site sent."""
    _ = catalog.gettext
    return (
        _("This form was sent from another site"),
        _("Nothing was submitted. Open our own form and send it from there."),
        _("Open the form"),
    )
