"""Taking what other systems send: each item of a batch is looked at by itself, stored once under its sender's id, or refused with the field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction

from approvals.policy import consent
from audit import seal
from billing_ai.api import reach
from billing_ai.api.asks import MOST_ITEMS, Batch
from billing_ai.api.models import ApiClient
from billing_ai.api.problems import Problem, field_errors, readable
from billing_ai.kernel import clock
from billing_ai.kernel.ids import effect_key
from billing_ai.signals.heard import heard
from billing_ai.signals.models import WAIT_FOR_CUSTOMER, WAITING_ROOMS, CrmLink, ExternalTicket, Incoming, ReplyNote, UsageEvent
from billing_ai.work import claims
from billing_ai.work.models import Lane, Leased

FIRST_LOOK, LONGEST_PAUSE = timedelta(minutes=1), timedelta(minutes=30)
STORED, WAITING, KNOWN, REFUSED = "stored", "waiting", "known", "refused"
_ATTEMPTS = 10_000  # the wait ends by the clock, not by counting


@dataclass
class Item:
    """One item on its way in: as it was read, and what became of it."""

    index: int
    id: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    status: str = ""
    errors: list[dict[str, str]] = field(default_factory=list)

    def refuse(self, name: str, code: str, message: str) -> None:
        """It is not taken, and this is why."""
        self.status, self.errors = REFUSED, [{"field": name, "code": code, "message": message}]


def read(batch: type[Batch], name: str, body: Any) -> list[Item]:
    """The items of a batch, each judged by itself. Raises the problem when the batch itself has another shape."""
    if not isinstance(body, Mapping) or set(body) != {name}:
        raise Problem(400, "bad_shape", f'Send an object with the one field "{name}".', errors=[_error(name, "required", "It is missing.")])
    raw = body[name]
    if not isinstance(raw, list) or not 1 <= len(raw) <= MOST_ITEMS:
        message = f"A list of 1 to {MOST_ITEMS} items."
        raise Problem(400, "bad_shape", f"Look at: {name}.", errors=[_error(name, "bad_length", message)])
    items = []
    for index, one in enumerate(raw):
        item = Item(index, _readable_id(one))
        serializer = batch.item(data=one)
        if serializer.is_valid():
            item.values = serializer.validated_data
        else:
            item.status, item.errors = REFUSED, field_errors(serializer.errors, f"{name}.{index}")
        items.append(item)
    return items


def answer(items: list[Item]) -> tuple[dict[str, Any], int]:
    """What is answered, and with which status."""
    counts = {status: sum(item.status == status for item in items) for status in (STORED, WAITING, KNOWN, REFUSED)}
    listed = [{"index": item.index, "id": item.id, "status": item.status, "errors": item.errors} for item in items]
    return {**counts, "items": listed}, 207 if counts[REFUSED] else 200


def take_usage(client: ApiClient, items: list[Item]) -> None:
    """Store usage events. The same id with other values is refused: the first telling stands."""

    def row(item: Item) -> UsageEvent:
        values = item.values
        return UsageEvent(
            name=values["name"], quantity=values.get("quantity", 1), unit=values.get("unit", ""), occurred_at=values["occurred_at"],
            chargebee_subscription_id=values.get("subscription_id", ""), lane=Lane.BATCH,
        )  # fmt: skip

    _take(client, items, UsageEvent, row, "events")


def take_tickets(client: ApiClient, items: list[Item]) -> None:
    """Store tickets; a later telling of one that is known replaces the earlier."""

    def row(item: Item) -> ExternalTicket:
        values = item.values
        return ExternalTicket(
            ticket_status=values["status"], priority=values.get("priority", "normal"), tone=values.get("tone", ""), opened_at=values["opened_at"],
            changed_at=values["changed_at"], solved_at=values.get("solved_at"),
        )  # fmt: skip

    _take(client, items, ExternalTicket, row, "tickets")


def take_notes(client: ApiClient, items: list[Item], kind: str) -> None:
    """Store notes or replies. A text message that asks us to stop withdraws the consent at once, when its customer is known."""

    def row(item: Item) -> ReplyNote:
        values = item.values
        return ReplyNote(
            kind=kind, channel=values.get("channel", ""), author=values.get("author", ""), case_id=values.get("case_id"), written_at=values["written_at"]
        )  # fmt: skip

    name = "notes" if kind == ReplyNote.NOTE else "replies"
    for item in items:
        case_id = item.values.get("case_id")
        if case_id is not None and not reach.cases(client).filter(pk=case_id).exists():
            item.refuse(f"{name}.{item.index}.case_id", "unknown_case", "There is no such case that this token reaches.")
    _take(client, items, ReplyNote, row, name, kind=kind)


def take_links(client: ApiClient, items: list[Item]) -> None:
    """Store who owns which customer in the CRM. A customer has to be known; a CRM id belongs to one customer."""
    wanted = [("chargebee", item.values["customer_id"]) for item in items if not item.status]
    known = reach.resolve(client, wanted)
    for item in items:
        if item.status:
            continue
        values, path = item.values, f"links.{item.index}"
        if ("chargebee", values["customer_id"]) not in known:
            item.refuse(f"{path}.customer_id", "unknown_customer", "There is no such customer that this token reaches.")
        elif not set_link(client, values["customer_id"], values["system"], values):
            item.refuse(f"{path}.crm_id", "taken", "This CRM id belongs to another customer.")
        else:
            item.status = STORED


def set_link(client: ApiClient, customer_id: str, system: str, values: Mapping[str, Any]) -> bool:
    """Say which record a customer is in a CRM. False when that record is another customer's."""
    with transaction.atomic():
        holder = CrmLink.objects.select_for_update().filter(client=client.name, system=system, crm_id=values["crm_id"]).first()
        if holder is not None and holder.chargebee_customer_id != customer_id:
            return False
        said = {"crm_id": values["crm_id"], "owner": values.get("owner", ""), "tier": values.get("tier", ""), "updated_at": clock.now()}
        link, is_new = CrmLink.objects.get_or_create(client=client.name, system=system, chargebee_customer_id=customer_id, defaults=said)
        if not is_new:
            for name, value in said.items():
                setattr(link, name, value)
            link.version += 1
            link.save()
        for room in WAITING_ROOMS:
            # Whatever waits for this record need not wait for the next look.
            waiting = room._default_manager.filter(
                client=client.name, customer_system=system, customer_ref=values["crm_id"], status=Leased.WAITING
            )
            waiting.update(not_before=clock.now())
        heard.send(sender=CrmLink, customer_ids={customer_id}, kind="crm")
    return True


def look_again(limit: int = 200) -> int:
    """Look for the customers of rows that wait; park those whose time is over. Gives how many were looked at."""
    return sum(_look_again(room, limit) for room in WAITING_ROOMS)


def _look_again(room: type[Incoming], limit: int) -> int:
    rows = claims.claim(room, limit, timedelta(minutes=2))
    clients = {client.name: client for client in ApiClient.objects.filter(name__in={row.client for row in rows})}
    for name in {row.client for row in rows}:
        mine = [row for row in rows if row.client == name]
        client = clients.get(name)
        known = reach.resolve(client, {(row.customer_system, row.customer_ref) for row in mine}) if client else {}
        for row in mine:
            customer_id = known.get((row.customer_system, row.customer_ref))
            if customer_id is not None:
                _found(row, customer_id)
            elif row.wait_until <= clock.now():
                claims.park(row, _why_parked(row))
            else:
                claims.put_back(row, min(LONGEST_PAUSE, FIRST_LOOK * 2 ** min(row.attempt, 10)), "its customer is not known yet")
    return len(rows)


def _found(row: Any, customer_id: str) -> None:
    with transaction.atomic():
        columns, asked = _moved_words(row, customer_id)
        if claims.complete(row, chargebee_customer_id=customer_id, reason="", **columns):
            _tell(type(row), [row])
            if asked:
                consent.record(customer_id, "sms", granted=asked == "opt_in", source="reply", at=row.written_at)


def _why_parked(row: Incoming) -> str:
    hours = int(WAIT_FOR_CUSTOMER.total_seconds() // 3600)
    return f"after {hours} hours there is still no customer {row.customer_ref[:80]} ({row.customer_system}) that the client {row.client} reaches"


def _take(client: ApiClient, items: list[Item], room: type[Any], make: Any, name: str, **same: Any) -> None:
    fresh = [item for item in items if not item.status]
    known = reach.resolve(client, {_ref(item) for item in fresh})
    try:
        with transaction.atomic():
            _store(client, fresh, known, room, make, name, same)
    except IntegrityError:
        # Someone sent one of these ids at the same moment and was first: now it is seen.
        for item in fresh:
            item.status, item.errors = "", []
        with transaction.atomic():
            _store(client, fresh, known, room, make, name, same)


def _store(
    client: ApiClient,
    fresh: list[Item],
    known: Mapping[tuple[str, str], str],
    room: type[Any],
    make: Any,
    name: str,
    same: Mapping[str, Any],
) -> None:
    stored = room.objects.filter(client=client.name, external_id__in=[item.values["id"] for item in fresh], **same)
    before = {row.external_id: row for row in stored.select_for_update().order_by("pk")}
    made: list[Any] = []
    changed: list[Any] = []
    for item in fresh:
        row = make(item)
        row.client, row.external_id = client.name, item.values["id"]
        row.customer_system, row.customer_ref = _ref(item)
        row.chargebee_customer_id = known.get(_ref(item), "")
        row.status = Leased.DONE if row.chargebee_customer_id else Leased.WAITING
        row.not_before, row.max_attempts = clock.now() + FIRST_LOOK, _ATTEMPTS
        if not row.chargebee_customer_id:
            row.reason = "its customer is not known yet"
        old = before.get(row.external_id)
        if old is not None:
            changed += _tell_again(old, row, item, f"{name}.{item.index}")
        elif _seal_words(row, item, f"{name}.{item.index}"):
            item.status = STORED if row.chargebee_customer_id else WAITING
            before[row.external_id] = row
            made.append(row)
    room.objects.bulk_create(made, batch_size=200)
    _tell(room, [*made, *changed])
    for row in made:
        asked = getattr(row, "asks", "")
        if asked and row.chargebee_customer_id:
            consent.record(row.chargebee_customer_id, "sms", granted=asked == "opt_in", source="reply", at=row.written_at)


def _tell_again(old: Any, new: Any, item: Item, path: str) -> list[Any]:
    """What is told a second time: a ticket moves on, everything else stands as it was told first. Gives the row when it changed."""
    same_customer = (old.customer_system, old.customer_ref) == (new.customer_system, new.customer_ref)
    if isinstance(old, ExternalTicket) and same_customer:
        item.status = KNOWN
        if new.changed_at <= old.changed_at:
            return []
        new.chargebee_customer_id = old.chargebee_customer_id
        if not _seal_words(new, item, path):
            return []
        item.status = STORED if old.status == Leased.DONE else WAITING
        for column in ("ticket_status", "priority", "tone", "opened_at", "changed_at", "solved_at", "sealed_subject", "sealed_for"):
            setattr(old, column, getattr(new, column))
        if old.pk is None:
            return []  # of this very batch, and not written yet
        old.save()
        return [old]
    columns = ("name", "quantity", "unit", "occurred_at") if isinstance(old, UsageEvent) else ("written_at", "channel")
    if same_customer and all(getattr(old, column) == getattr(new, column) for column in columns):
        item.status = KNOWN
    else:
        item.refuse(f"{path}.id", "id_reused", "This id was used before, for something else.")
    return []


def _tell(room: type[Any], rows: Iterable[Any]) -> None:
    kinds: dict[str, set[str]] = {}
    for row in rows:
        if row.chargebee_customer_id:
            kind = row.kind if isinstance(row, ReplyNote) else ("usage" if isinstance(row, UsageEvent) else "ticket")
            kinds.setdefault(kind, set()).add(row.chargebee_customer_id)
    for kind, customer_ids in kinds.items():
        heard.send(sender=room, customer_ids=customer_ids, kind=kind)


def _seal_words(row: Any, item: Item, path: str) -> bool:
    """Words go under the customer's own key; those of a customer not known yet under the key of their waiting room. False: refused."""
    if isinstance(row, UsageEvent):
        return True
    column, name = ("sealed_subject", "subject") if isinstance(row, ExternalTicket) else ("sealed_text", "text")
    text = item.values.get(name, "")
    if isinstance(row, ReplyNote):
        row.asks = _asks(row, text)  # type: ignore[attr-defined]  # only on its way in
    if text:
        waiting_room = effect_key(row.client, row.customer_system, row.customer_ref)
        row.sealed_for = row.chargebee_customer_id or f"waiting:{waiting_room}"
        try:
            setattr(row, column, seal.seal(row.sealed_for, text))
        except seal.Erased:
            item.refuse(f"{path}.customer", "erased", "This customer was erased: no words may be kept of them.")
            return False
    return True


def _moved_words(row: Any, customer_id: str) -> tuple[dict[str, Any], str]:
    """The words of a waiting row under the key of the customer it turned out to be of, and what a text message asks for."""
    column = "sealed_subject" if isinstance(row, ExternalTicket) else "sealed_text"
    held = getattr(row, column, None)
    if held is None:
        return {}, ""
    try:
        text = seal.unseal(row.sealed_for, bytes(held))
        return {column: seal.seal(customer_id, text), "sealed_for": customer_id}, _asks(row, text)
    except seal.Erased:
        return {column: None, "sealed_for": ""}, ""


def _asks(row: Any, text: str) -> str:
    is_text_message = isinstance(row, ReplyNote) and row.kind == ReplyNote.REPLY and row.channel == "sms"
    asked = consent.asks_for(text) if is_text_message else ""
    return asked if asked in ("opt_in", "opt_out") else ""


def _ref(item: Item) -> tuple[str, str]:
    customer = item.values["customer"]
    return str(customer.get("system", "chargebee")), str(customer["id"])


def _readable_id(raw: Any) -> str | None:
    found = raw.get("id") if isinstance(raw, Mapping) else None
    return readable(found, 200) if isinstance(found, str) else None


def _error(name: str, code: str, message: str) -> dict[str, str]:
    return {"field": name, "code": code, "message": message}
