"""The customer's own word on each channel: recorded at once, from wherever it comes."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.urls import reverse

from approvals.contract import Check
from approvals.drafts.fixed_words import in_every_language
from approvals.models import Consent, Suppression
from approvals.policy import rules
from audit import ledger
from audit.actor import Actor, person, system
from billing_ai.kernel import clock, ids
from billing_ai.kernel.ids import keyed_hash

if TYPE_CHECKING:
    from django.contrib.auth.models import User

Source = Literal["chargebee", "reply", "unsubscribe", "console", "import", "api"]
CHANNELS = ("email", "sms", "call")
KINDS = ("do_not_contact", "hardship", "bankruptcy", "deceased", "wrong_person")
"""Why someone is on the suppression list; the middle three stop charges too."""
OPT_OUT_WORDS = frozenset({"stop", "stopall", "quit", "end", "revoke", "opt out", "optout", "cancel", "unsubscribe"})
"""US TCPA, 47 CFR 64.1200(a)(10), in any case; a message that is nothing but one of them."""
HELP_WORDS = frozenset({"help", "info"})
OPT_IN_WORDS = frozenset({"start", "unstop"})
NUMBER_OPTED_OUT = "opted_out"
"""The kind of a suppression of one number, whoever it belongs to."""
_NOISE = re.compile(r"[^\w]+")
_NOT_IN_A_NUMBER = re.compile(r"[^+\d]")


def asks_for(text: str) -> Literal["opt_out", "help", "opt_in", ""]:
    """What an inbound text message asks for, in any of our languages; empty when it is about something else."""
    word = _bare(text)
    stops, helps = _words()
    if word in stops:
        return "opt_out"
    if word in helps:
        return "help"
    return "opt_in" if word in OPT_IN_WORDS else ""


def _bare(text: str) -> str:
    return _NOISE.sub(" ", text).strip().casefold()


@lru_cache(maxsize=1)
def _words() -> tuple[frozenset[str], frozenset[str]]:
    """Whoever writes in German may answer STOPP: the law's words, and those of each language."""
    ours = in_every_language()
    return (
        OPT_OUT_WORDS | {_bare(word) for one in ours for word in one.stop_words},
        HELP_WORDS | {_bare(word) for one in ours for word in one.help_words},
    )


def says_stop() -> bool:
    """Whether a text message says how to get no more of them: always, unless a lead has switched that off."""
    rule = rules.recent(clock.now()).policies.get("contact.sms_opt_out")
    return rule is None or rule.is_enabled


def unsubscribe_url(customer_id: str) -> str:
    """The customer's own link out of mail, always the same and good for ever. It names the customer's id and nothing else."""
    return settings.PUBLIC_URL + reverse("unsubscribe", args=[Signer(salt="unsubscribe").sign(customer_id)])


def customer_of(token: str) -> str:
    """Whose link it is; empty when we did not make it."""
    try:
        return Signer(salt="unsubscribe").unsign(token)
    except BadSignature:
        return ""


def address_mark(channel: str, address: str) -> str:
    """A keyed mark of a number or mail address, which cannot be turned back; empty for an empty address. Old marks die with the master key."""
    plain = _plain(channel, address)
    return keyed_hash(settings.MASTER_KEY, f"address|{channel}|{plain}") if plain else ""


def _plain(channel: str, address: str) -> str:
    return address.strip().casefold() if channel == "email" else _NOT_IN_A_NUMBER.sub("", address)


def address_check(channel: str, address: str) -> Check:
    """Is this very address closed? Asked just before sending, when the address is known."""
    rule = "contact.suppressed.address"
    mark = address_mark(channel, address)
    marks = [keyed_hash(old, f"address|{channel}|{_plain(channel, address)}") for old in settings.MASTER_KEYS_OLD] if mark else []
    today = clock.utc_date(clock.now() - timedelta(hours=12))
    rows = (
        Suppression.objects.filter(address_hash__in=[mark, *marks], is_active=True, channel__in=("", channel))
        if mark
        else Suppression.objects.none()
    )
    if rows.filter(Q(until_on__isnull=True) | Q(until_on__gte=today)).exists():
        return Check(rule, "deny", "This address does not want messages: it has opted out.")
    return Check(rule, "allow", "The address is not on the suppression list.")


def record(
    customer_id: str,
    channel: str,
    *,
    granted: bool,
    source: Source,
    user: User | None = None,
    at: datetime | None = None,
    trace_id: str = "",
) -> Consent:
    """Keep the newest word on one channel, with its history and a ledger entry. An older word than the one on record changes nothing.

    Raises ValueError for a channel we do not have.
    """
    if channel not in CHANNELS:
        raise ValueError(f"{channel!r} is no channel")
    moment = at or clock.now()
    with transaction.atomic():
        row = _locked(customer_id, channel)
        before = ""
        if row is None:
            row = Consent(chargebee_customer_id=customer_id, channel=channel)
        elif row.recorded_at > moment:
            return row
        else:
            before = row.state
        row.state = Consent.GRANTED if granted else Consent.DENIED
        row.source, row.recorded_at, row.recorded_by = source, moment, user
        row._history_user = user  # type: ignore[attr-defined]  # simple-history reads it from the instance
        row._change_reason = source  # type: ignore[attr-defined]
        try:
            with transaction.atomic():
                row.save()
        except IntegrityError:
            # Someone else wrote this channel's first word meanwhile; the newer of the two stays.
            return record(customer_id, channel, granted=granted, source=source, user=user, at=moment, trace_id=trace_id)
        _note("consent.recorded", customer_id, user, trace_id, {"channel": channel, "from": before, "to": row.state, "source": source})
        return row


def suppress(
    customer_id: str, kind: str, user: User, *, channel: str = "", until_on: date | None = None, reason: str = "", trace_id: str = ""
) -> Suppression:
    """Put a customer on the suppression list, for good or until a day. Raises ValueError for a kind or channel that we do not have."""
    if kind not in KINDS or channel not in ("", *CHANNELS):
        raise ValueError(f"{kind!r} on {channel!r} is nothing that can be suppressed")
    with transaction.atomic():
        row = Suppression(chargebee_customer_id=customer_id, kind=kind, channel=channel, until_on=until_on, reason=reason, added_by=user)
        row._history_user = user  # type: ignore[attr-defined]  # simple-history reads it from the instance
        row.save()
        _note("suppression.added", customer_id, user, trace_id, {"kind": kind, "channel": channel})
        return row


def lift(suppression_id: int, user: User, *, reason: str, trace_id: str = "") -> bool:
    """Take an entry off the suppression list, with a reason. False when it is off already. Raises ValueError without a reason."""
    if not reason.strip():
        raise ValueError("say why the entry is lifted")
    with transaction.atomic():
        row = Suppression.objects.select_for_update().filter(pk=suppression_id, is_active=True).first()
        if row is None:
            return False
        row.is_active, row.reason = False, reason
        row._history_user = user  # type: ignore[attr-defined]  # simple-history reads it from the instance
        row._change_reason = reason[:500]  # type: ignore[attr-defined]
        row.save()
        _note("suppression.lifted", row.chargebee_customer_id, user, trace_id, {"kind": row.kind, "channel": row.channel})
        return True


def _locked(customer_id: str, channel: str) -> Consent | None:
    return Consent.objects.select_for_update(of=("self",)).filter(chargebee_customer_id=customer_id, channel=channel).first()


def _note(kind: str, customer_id: str, user: User | None, trace_id: str, data: dict[str, str]) -> None:
    actor: Actor = person(user) if user is not None else system("consent")
    ledger.append(
        kind, actor=actor, trace_id=trace_id or ids.new_trace_id(), subject=("customer", customer_id), customer_id=customer_id, data=data
    )
