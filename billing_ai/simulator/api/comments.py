"""Comments: internal notes on a resource."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator.api.registry import answers
from billing_ai.simulator.errors import not_found
from billing_ai.simulator.listing import list_things
from billing_ai.simulator.site import Site, public

_KINDS = ("customer", "subscription", "invoice", "transaction", "credit_note", "coupon", "item", "item_price")


@answers("comment.create")
def create(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    kind = params["entity_type"]
    if kind in _KINDS and site.store.get(kind, params["entity_id"]) is None:
        raise not_found(kind, params["entity_id"])
    comment = {
        "id": site.new_id("comment"),
        "entity_type": kind,
        "entity_id": params["entity_id"],
        "notes": params["notes"],
        "added_by": params.get("added_by"),
        "type": "user",
        "created_at": site.now(),
        "object": "comment",
    }
    return {"comment": public(site.save("comment", comment))}


@answers("comment.retrieve")
def retrieve(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return {"comment": public(site.must("comment", ids[0]))}


@answers("comment.list")
def list_comments(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return list_things(site, "comment", params)


@answers("comment.delete")
def delete(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    comment = site.must("comment", ids[0])
    site.store.drop("comment", comment["id"])
    return {"comment": public(comment)}
