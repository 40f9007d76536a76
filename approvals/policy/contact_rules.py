"""May this customer be contacted on this channel at this moment? Pure: facts and rules in, checks out.

Every rule answers, also when it allows, so that a reviewer sees what was looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

from approvals.contract import Check
from approvals.policy.quiet_hours import Calendar, Hours, UnknownCalendar, country_of, is_known_country, next_minute, possible_zones
from approvals.policy.rules import MissingRule, Rules

CHANNELS = ("email", "sms", "call")
CONFIRMATION = "opt_out_confirmation"
REPLY = "reply"
NOT_COUNTED = frozenset({CONFIRMATION, REPLY, "receipt"})
"""Kinds of contact that answer the customer's own word or deed: they do not use up what the frequency rule allows."""
CONVERSATION = "conversation"
_PAUSES = {
    "hardship": "The customer is in hardship",
    "bankruptcy": "The customer is bankrupt",
    "deceased": "The customer has died",
}


@dataclass(frozen=True, slots=True)
class Word:
    """What was said about one channel, by whom and when."""

    state: str
    source: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Suppressed:
    """One active entry of the suppression list. An empty channel means every channel."""

    kind: str
    channel: str = ""
    until_on: date | None = None

    def holds(self, channel: str, moment: datetime) -> bool:
        """Until the named day has ended everywhere on Earth."""
        on_this_channel = self.channel in ("", channel) or not channel
        return on_this_channel and (self.until_on is None or (moment - timedelta(hours=12)).astimezone(UTC).date() <= self.until_on)


@dataclass(frozen=True, slots=True)
class Said:
    """One contact that went out."""

    at: datetime
    channel: str
    kind: str
    invoice_id: str = ""


@dataclass(frozen=True, slots=True)
class ContactFacts:
    """What the rules of contact rest on. `dispute` and `promise` are `this` (the same invoice), `other` or empty."""

    is_known: bool = True
    is_deleted: bool = False
    country: str = ""
    time_zone: str = ""
    phone_country: str = ""
    has_email: bool = False
    has_phone: bool = False
    email_consent: str = ""
    sms_consent: str = ""
    words: Mapping[str, Word] = field(default_factory=dict)
    suppressed: tuple[Suppressed, ...] = ()
    said: tuple[Said, ...] = ()
    in_flight: int = 0
    """Messages to this customer that are being sent right now, or whose answer was lost."""
    dispute: str = ""
    promise: str = ""
    snoozed_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """On which channel, what kind of contact, when. `promotes`: the verifier found an offer in the text."""

    channel: str
    kind: str
    at: datetime
    promotes: bool = False
    is_draft: bool = False
    """A text that a person can still mend: a promotion then needs a person instead of ending it."""


def may_contact(question: Question, facts: ContactFacts, rules: Rules) -> tuple[Check, ...]:
    """All checks. When some ask to wait, each of them carries the one next minute that satisfies all.

    An answer to the customer's own message is asked of consent and the suppression list only: it is no dunning, and waits for no hour.
    """
    if question.channel not in CHANNELS:
        return (Check("contact.channel", "deny", f"“{question.channel}” is no channel we know."),)
    if question.kind == CONFIRMATION:
        return _confirmation(question, facts, rules)
    if question.kind == REPLY:
        return (_reachable(question, facts), _consent(question, facts), _listed(question, facts))
    checks = [_reachable(question, facts), _consent(question, facts)]
    checks += _held(question, facts)
    checks.append(_promotion(question, rules))
    timing, calendar, earliest = _timing(question, facts, rules)
    checks += timing
    if any(check.outcome == "wait" for check in checks) and calendar is not None:
        checks = _agree_on_a_minute(checks, question, calendar, earliest)
    return tuple(checks)


def pauses(facts: ContactFacts, moment: datetime) -> tuple[Check, ...]:
    """What stops collecting as well as contact: dispute, promise, hardship, bankruptcy, death, a snooze."""
    return tuple(_standing_still(facts, moment, ""))


def next_allowed_minute(checks: tuple[Check, ...], at: datetime) -> datetime | None:
    """When the contact would be allowed as things stand: `at` itself, later, or None when it is denied."""
    if any(check.outcome == "deny" for check in checks):
        return None
    return max((check.not_before for check in checks if check.outcome == "wait" and check.not_before), default=at)


def _reachable(question: Question, facts: ContactFacts) -> Check:
    rule = "contact.customer"
    if not facts.is_known:
        return Check(rule, "deny", "We have no facts about this customer.")
    if facts.is_deleted:
        return Check(rule, "deny", "Chargebee no longer has this customer.")
    if question.channel == "email" and not facts.has_email:
        return Check(rule, "deny", "The customer has no e-mail address.")
    if question.channel in ("sms", "call") and not facts.has_phone:
        return Check(rule, "deny", "The customer has no phone number.")
    return Check(rule, "allow", "The customer can be reached on this channel.")


def _consent(question: Question, facts: ContactFacts) -> Check:
    rule, channel = f"contact.consent.{question.channel}", question.channel
    name = {"email": "e-mail", "sms": "SMS", "call": "phone calls"}[channel]
    in_chargebee = {"email": facts.email_consent, "sms": facts.sms_consent}.get(channel, "")
    word = facts.words.get(channel)
    if word is not None and word.state not in ("granted", "denied"):
        return Check(rule, "deny", f"The stored consent for {name} cannot be read.")
    if word is not None and word.state == "denied":
        return Check(rule, "deny", f"The customer does not want {name} ({word.source or 'our record'}{_on(word)}).")
    if in_chargebee == "no":
        more = (
            f", although {word.source or 'our record'} says yes{_on(word)}. Put the newer word into Chargebee." if word is not None else "."
        )
        return Check(rule, "deny", f"The customer does not want {name}, says Chargebee{more}")
    if word is not None or in_chargebee == "yes":
        return Check(rule, "allow", f"The customer has agreed to {name}.")
    if in_chargebee:
        return Check(rule, "deny", f"The consent for {name} in Chargebee cannot be read.")
    if channel == "sms":
        return Check(rule, "deny", "The customer has never agreed to SMS. Only customers who agreed may get one.")
    return Check(rule, "allow", f"A billing notice by {name} needs no consent, and the customer has not opted out.")


def _on(word: Word) -> str:
    return f", {word.at:%d %b %Y}" if word.at else ""


def _held(question: Question, facts: ContactFacts) -> list[Check]:
    return [_listed(question, facts), *_standing_still(facts, question.at, question.channel)]


def _listed(question: Question, facts: ContactFacts) -> Check:
    rule = "contact.suppressed"
    listed = [one for one in facts.suppressed if one.kind not in _PAUSES and one.holds(question.channel, question.at)]
    if not listed:
        return Check(rule, "allow", "The customer is not on the suppression list.")
    return Check(rule, "deny", f"The customer is on the list of those not to be contacted ({listed[0].kind.replace('_', ' ')}).")


def _standing_still(facts: ContactFacts, moment: datetime, channel: str) -> list[Check]:
    checks = []
    for kind, sentence in _PAUSES.items():
        if any(one.kind == kind and one.holds(channel, moment) for one in facts.suppressed):
            checks.append(Check(f"contact.pause.{kind}", "deny", f"{sentence}: nothing is sent or collected."))
    for name, state in (("dispute", facts.dispute), ("promise", facts.promise)):
        what = "The invoice is in dispute" if name == "dispute" else "The customer has promised to pay"
        if state == "this":
            checks.append(Check(f"contact.pause.{name}", "deny", f"{what}: nothing is sent or collected until that is settled."))
        elif state == "other":
            other = "in dispute" if name == "dispute" else "under a promise to pay"
            checks.append(Check(f"contact.pause.{name}", "person", f"Another invoice of this customer is {other}: a person decides."))
    if facts.snoozed_until is not None and facts.snoozed_until > moment:
        checks.append(Check("contact.pause.snoozed", "wait", "The case is put aside until then.", facts.snoozed_until))
    if not checks:
        checks.append(Check("contact.pauses", "allow", "No dispute, promise, hardship, bankruptcy or death is on record."))
    return checks


def _promotion(question: Question, rules: Rules) -> Check:
    rule = "contact.promotion"
    try:
        params = rules.params(rule)
    except MissingRule as missing:
        return missing.check()
    if params is not None and question.promotes:
        sentence = "A billing notice may not carry an offer. Take it out."
        return Check(rule, "person" if question.is_draft else "deny", sentence)
    return Check(rule, "allow", "No offer was found in the text.")


def _timing(question: Question, facts: ContactFacts, rules: Rules) -> tuple[list[Check], Calendar | None, datetime]:
    checks: list[Check] = []
    earliest = question.at
    for rule in (_frequency, _conversation):
        try:
            check = rule(question, facts, rules)
        except MissingRule as missing:
            check = missing.check()
        checks.append(check)
        if check.outcome == "wait" and check.not_before is not None:
            earliest = max(earliest, check.not_before)
    try:
        hours = _hours(rules)
        countries = _countries_with_days_off(question, facts, rules)
    except MissingRule as missing:
        return [*checks, missing.check()], None, earliest
    phone = (facts.phone_country,) if question.channel != "email" else ()
    zones = possible_zones(facts.time_zone, facts.country, *phone)
    calendar = Calendar(zones, hours, countries)
    return [*checks, *_calendar_checks(question, facts, calendar)], calendar, earliest


def _hours(rules: Rules) -> Hours | None:
    params = rules.params("contact.quiet_hours")
    if params is None:
        return None
    try:
        return Hours.read(params["start"], params["end"])
    except (KeyError, ValueError) as error:
        raise MissingRule("contact.quiet_hours") from error


def _countries_with_days_off(question: Question, facts: ContactFacts, rules: Rules) -> tuple[str, ...]:
    if rules.params("contact.days_off") is None:
        return ()
    phone = facts.phone_country if question.channel != "email" else ""
    home = facts.country or country_of(facts.time_zone)
    return tuple(dict.fromkeys(country.upper() for country in (home, phone) if country)) or ("",)


def _calendar_checks(question: Question, facts: ContactFacts, calendar: Calendar) -> list[Check]:
    """Quiet hours and days off, each by itself; when the two have no minute in common within three weeks, that is a denial too."""
    if not facts.time_zone and not facts.country and calendar.hours is not None:
        where = "Neither the customer's time zone nor country is known"
    elif facts.country and not is_known_country(facts.country):
        return [Check("contact.country", "deny", f"“{facts.country}” is no country we know, so its hours and days off are unknown.")]
    else:
        where = "The customer's time zone is not known" if len(calendar.zones) > 1 else ""
    checks = [_one_calendar(Calendar(calendar.zones, calendar.hours), question, "contact.quiet_hours", where)]
    try:
        days = Calendar(calendar.zones, None, calendar.countries)
        checks.append(_one_calendar(days, question, "contact.days_off", where))
    except UnknownCalendar as unknown:
        checks.append(Check("contact.days_off", "deny", f"The days off of {unknown.args[0] or 'the customer’s country'} are not known."))
    return checks


def _one_calendar(calendar: Calendar, question: Question, rule: str, where: str) -> Check:
    opened = calendar.next_open(question.at)
    zone = calendar.zones[0]
    local = question.at.astimezone(zone)
    if opened is None:
        return Check(
            rule, "deny", f"{where or 'The rule leaves no time'}: there is no hour that is allowed everywhere the customer may be."
        )
    if opened == question.at:
        many = f" in each of the {len(calendar.zones)} zones that are possible" if len(calendar.zones) > 1 else f" ({local:%H:%M} there)"
        return Check(
            rule, "allow", f"Within the hours allowed{many}." if rule == "contact.quiet_hours" else "No day off where the customer is."
        )
    if rule == "contact.days_off":
        return Check(rule, "wait", f"{local:%A %d %B} is a day off where the customer is.", next_minute(opened))
    then = opened.astimezone(zone)
    place = f"{where}, so only hours count that are allowed everywhere it may be" if where else f"It is {local:%H:%M} where the customer is"
    return Check(rule, "wait", f"{place}; the next hour allowed begins {then:%a %d %b, %H:%M} ({zone.key}).", next_minute(opened))


def _frequency(question: Question, facts: ContactFacts, rules: Rules) -> Check:
    rule = "contact.frequency"
    params = rules.params(rule)
    if params is None:
        return Check(rule, "allow", "The rule is switched off.")
    try:
        limit, days = int(params["messages"]), int(params["days"])
    except (KeyError, TypeError, ValueError) as error:
        raise MissingRule(rule) from error
    since = question.at - timedelta(days=days)
    counted = sorted((one.at for one in facts.said if one.kind not in NOT_COUNTED and one.at > since), reverse=True)
    used = len(counted) + facts.in_flight
    said = f"{used} of {limit} contacts in {days} days used, over all channels"
    if used < limit:
        return Check(rule, "allow", f"{said}.", data={"used": used, "limit": limit})
    if limit <= 0:
        return Check(rule, "deny", "The rule allows no contact at all.", data={"used": used, "limit": limit})
    # The contact that has to grow old before there is room again; one that is under way counts as made now.
    row = sorted([*counted, *([question.at] * facts.in_flight)], reverse=True)[limit - 1]
    return Check(rule, "wait", f"{said}.", next_minute(row + timedelta(days=days)), {"used": used, "limit": limit})


def _conversation(question: Question, facts: ContactFacts, rules: Rules) -> Check:
    rule = "contact.after_conversation"
    params = rules.params(rule)
    if params is None or question.channel not in params.get("channels", ()):
        return Check(rule, "allow", "The rule does not apply to this channel.")
    try:
        days = int(params["days"])
    except (KeyError, TypeError, ValueError) as error:
        raise MissingRule(rule) from error
    spoken = max((one.at for one in facts.said if one.kind == CONVERSATION), default=None)
    if spoken is None or spoken + timedelta(days=days) <= question.at:
        return Check(rule, "allow", f"No conversation in the last {days} days.")
    return Check(
        rule,
        "wait",
        f"Someone spoke with the customer on {spoken:%d %b}; no call for {days} days.",
        next_minute(spoken + timedelta(days=days)),
    )


def _agree_on_a_minute(checks: list[Check], question: Question, calendar: Calendar, earliest: datetime) -> list[Check]:
    asked = max([earliest, *(check.not_before for check in checks if check.outcome == "wait" and check.not_before)])
    try:
        common = calendar.next_open(next_minute(asked))
    except UnknownCalendar:
        common = None  # the check of the days off says so already
    if common is None:
        return checks
    return [replace(check, not_before=common) if check.outcome == "wait" else check for check in checks]


def _confirmation(question: Question, facts: ContactFacts, rules: Rules) -> tuple[Check, ...]:
    """One confirmation of an opt-out, within minutes of it and at any hour."""
    rule = "contact.confirmation"
    try:
        params = rules.params(rule)
        minutes = int(params["minutes"]) if params is not None else 0
    except MissingRule as missing:
        return (missing.check(),)
    except (KeyError, TypeError, ValueError):
        return (MissingRule(rule).check(),)
    word = facts.words.get(question.channel)
    if word is None or word.state != "denied" or word.at is None:
        return (_reachable(question, facts), Check(rule, "deny", "There is no opt-out to confirm."))
    if question.at - word.at > timedelta(minutes=minutes):
        return (_reachable(question, facts), Check(rule, "deny", f"The opt-out is more than {minutes} minutes old."))
    at = word.at
    if any(one.kind == CONFIRMATION and one.channel == question.channel and one.at >= at for one in facts.said):
        return (_reachable(question, facts), Check(rule, "deny", "The opt-out was confirmed already."))
    return (_reachable(question, facts), Check(rule, "allow", "One confirmation of the opt-out is allowed."))
