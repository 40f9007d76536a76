"""Which customers a client reaches, and how it may name them. Every query of the API starts here."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db.models import Q, QuerySet

from approvals.models import Case, Proposal
from billing_ai.api.models import ApiClient, Change
from billing_ai.api.problems import not_found
from billing_ai.facts.models import Customer
from billing_ai.signals.models import CrmLink

CHARGEBEE = "chargebee"


def customers(client: ApiClient) -> QuerySet[Customer]:
    """The customers of the client's business entities, or all of them. A client without either reaches nobody."""
    known = Customer.objects.filter(is_deleted=False)
    if client.covers_everyone:
        return known
    entities = [str(entity) for entity in client.business_entity_ids if entity]
    return known.filter(business_entity_id__in=entities) if entities else known.none()


def customer(client: ApiClient, customer_id: str) -> Customer:
    """One customer by Chargebee id. Raises the not-found problem for an unknown one and for another tenant's alike."""
    found = customers(client).filter(pk=customer_id).first() if is_storable(customer_id) else None
    if found is None:
        raise not_found()
    return found


def customer_by_crm(client: ApiClient, system: str, crm_id: str) -> Customer:
    """One customer by the id it has in a CRM, as this client told it."""
    link = CrmLink.objects.filter(client=client.name, system=system, crm_id=crm_id).first() if is_storable(system + crm_id) else None
    if link is None:
        raise not_found()
    return customer(client, link.chargebee_customer_id)


def cases(client: ApiClient) -> QuerySet[Case]:
    """The cases of the customers in reach."""
    if client.covers_everyone:
        return Case.objects.all()
    return Case.objects.filter(chargebee_customer_id__in=customers(client).values("pk"))


def case(client: ApiClient, case_id: UUID) -> Case:
    """One case. Raises the not-found problem."""
    found = cases(client).filter(pk=case_id).first()
    if found is None:
        raise not_found()
    return found


def proposals(client: ApiClient) -> QuerySet[Proposal]:
    """The proposals about the customers in reach."""
    if client.covers_everyone:
        return Proposal.objects.all()
    return Proposal.objects.filter(chargebee_customer_id__in=customers(client).values("pk"))


def proposal(client: ApiClient, proposal_id: UUID) -> Proposal:
    """One proposal. Raises the not-found problem."""
    found = proposals(client).select_related("current", "case").filter(pk=proposal_id).first()
    if found is None:
        raise not_found()
    return found


def changes(client: ApiClient) -> QuerySet[Change]:
    """The lines of the feed about customers in reach, and those that are for this client alone."""
    mine = Q(only_for=client)
    if client.covers_everyone:
        return Change.objects.filter(mine | Q(only_for__isnull=True))
    return Change.objects.filter(mine | Q(only_for__isnull=True, chargebee_customer_id__in=customers(client).values("pk")))


def resolve(client: ApiClient, refs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Chargebee ids of the customers named as (system, id). Who is unknown, or not in reach, is missing from the answer."""
    wanted = {ref for ref in refs if is_storable(ref[0] + ref[1])}
    links: dict[tuple[str, str], str] = {}
    for system in {system for system, _ in wanted if system != CHARGEBEE}:
        told = [crm_id for of, crm_id in wanted if of == system]
        rows = CrmLink.objects.filter(client=client.name, system=system, crm_id__in=told)
        links |= {(system, crm_id): customer_id for crm_id, customer_id in rows.values_list("crm_id", "chargebee_customer_id")}
    links |= {(CHARGEBEE, customer_id): customer_id for system, customer_id in wanted if system == CHARGEBEE}
    in_reach = set(customers(client).filter(pk__in=set(links.values())).values_list("pk", flat=True))
    return {ref: customer_id for ref, customer_id in links.items() if customer_id in in_reach}


def is_storable(text: str) -> bool:
    """No row of ours can have any other text as its id, and some databases refuse to compare with it."""
    return "\x00" not in text and len(text) <= 400
