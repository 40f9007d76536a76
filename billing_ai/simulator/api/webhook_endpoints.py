"""Webhook endpoints."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator.api.registry import answers
from billing_ai.simulator.errors import ApiError
from billing_ai.simulator.listing import list_things
from billing_ai.simulator.site import Site, public
from billing_ai.simulator.store import Thing

_SECRET = {"basic_auth_username": "_user", "basic_auth_password": "_password"}
MOST = 5


def add_endpoint(site: Site, params: dict[str, Any]) -> Thing:
    endpoint: Thing = {
        "id": site.new_id("webhook_endpoint"),
        "name": params.get("name", "webhook"),
        "url": params["url"],
        "send_card_resource": params.get("send_card_resource", True),
        "disabled": params.get("disabled", False),
        "primary_url": params.get("primary_url", False),
        "api_version": "v2",
        "enabled_events": params.get("enabled_events") or [],
        "object": "webhook_endpoint",
    }
    for name, hidden in _SECRET.items():
        endpoint[hidden] = params.get(name) or ""
    return site.save("webhook_endpoint", endpoint)


@answers("webhook_endpoint.create")
def create(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    if site.store.count("webhook_endpoint") >= MOST:
        raise ApiError(400, "resource_limit_exceeded", f"A site has at most {MOST} webhook endpoints")
    if site.store.first("webhook_endpoint", "json_extract(body,'$.url') = ?", (params["url"],)):
        raise ApiError(400, "duplicate_entry", f"url : The value {params['url']} is already present.", param="url")
    return {"webhook_endpoint": public(add_endpoint(site, params))}


@answers("webhook_endpoint.update")
def update(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    endpoint = site.must("webhook_endpoint", ids[0])
    for name, value in params.items():
        endpoint[_SECRET.get(name, name)] = value
    return {"webhook_endpoint": public(site.save("webhook_endpoint", endpoint))}


@answers("webhook_endpoint.retrieve")
def retrieve(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return {"webhook_endpoint": public(site.must("webhook_endpoint", ids[0]))}


@answers("webhook_endpoint.list")
def list_endpoints(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return list_things(site, "webhook_endpoint", params)


@answers("webhook_endpoint.delete")
def delete(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    endpoint = site.must("webhook_endpoint", ids[0])
    site.store.drop("webhook_endpoint", endpoint["id"])
    return {"webhook_endpoint": public(endpoint)}
