"""`manage.py api_token make|list|rotate|revoke`: keys to the API. A secret is printed once, when it is made."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from audit.actor import system
from billing_ai.api import clients, tokens
from billing_ai.api.models import ApiClient, ApiToken

_ACTOR = system("api_token")


class Command(BaseCommand):
    help = "Makes, lists, rotates and revokes tokens of the API. What uses the API is a client; a client has tokens."

    def add_arguments(self, parser: ArgumentParser) -> None:
        orders = parser.add_subparsers(dest="order", required=True)
        make = orders.add_parser("make", help="a new token, and its client when there is none of that name")
        make.add_argument("client", help="short name of the integration, such as crm-eu")
        make.add_argument("--label", default="", help="what uses the token")
        make.add_argument("--scopes", required=True, help=f"with commas between, out of: {', '.join(tokens.SCOPES)}")
        make.add_argument("--days", type=int, default=90, help="how long it lives (90; at most 366)")
        make.add_argument("--rate", type=int, default=300, help="calls a minute (300)")
        make.add_argument("--act-as", default="", help="user names in whose name it may decide, with commas between")
        reach = make.add_mutually_exclusive_group()
        reach.add_argument("--everyone", action="store_true", help="a new client reaches every customer")
        reach.add_argument("--entities", default="", help="a new client reaches the customers of these Chargebee business entities")
        listing = orders.add_parser("list", help="the tokens, without their secrets")
        listing.add_argument("client", nargs="?", default="")
        rotate = orders.add_parser("rotate", help="a new token like this one; the old one works for 24 hours more")
        rotate.add_argument("token_id")
        revoke = orders.add_parser("revoke", help="end a token at once")
        revoke.add_argument("token_id")

    def handle(self, *args: Any, **options: Any) -> None:
        order = {"make": self._make, "list": self._list, "rotate": self._rotate, "revoke": self._revoke}[options["order"]]
        try:
            with transaction.atomic():
                order(options)
        except (clients.BadClient, tokens.BadToken) as error:
            raise CommandError(f"{error}.") from error
        except (ApiToken.DoesNotExist, ValidationError) as error:
            raise CommandError("There is no token with this id; `api_token list` shows the ids.") from error

    def _make(self, options: dict[str, Any]) -> None:
        people = _people(_split(options["act_as"]))
        client = ApiClient.objects.filter(name=options["client"]).first()
        entities = _split(options["entities"])
        if client is None:
            if not options["everyone"] and not entities:
                raise CommandError(f"There is no client {options['client']} yet: say whom it reaches, --everyone or --entities a,b.")
            client = clients.make(options["client"], covers_everyone=options["everyone"], business_entity_ids=entities, actor=_ACTOR)
            self.stdout.write(f"client  {client.name} (new; reaches {_reach(client)})")
        elif options["everyone"] or entities:
            raise CommandError(f"The client {client.name} is there already and reaches {_reach(client)}; the console changes that.")
        token, secret = tokens.make(
            client,
            label=options["label"],
            scopes=_split(options["scopes"]),
            lives=timedelta(days=options["days"]),
            actor=_ACTOR,
            rate_per_minute=options["rate"],
            may_act_as=people,
        )
        self._say(token, secret)

    def _list(self, options: dict[str, Any]) -> None:
        rows = ApiToken.objects.select_related("client", "rate_use").order_by("client__name", "created_at")
        for token in rows.filter(client__name=options["client"]) if options["client"] else rows:
            people = ",".join(user.get_username() for user in token.may_act_as.order_by("username"))
            parts = [
                str(token.pk), token.client.name, f"{token.hint}…", tokens.state_of(token), f"until {token.expires_at:%Y-%m-%d %H:%M}",
                f"used {last:%Y-%m-%d %H:%M}" if (last := tokens.last_used(token)) else "never used", ",".join(token.scopes),
            ]  # fmt: skip
            self.stdout.write("  ".join([*parts, *([f"as {people}"] if people else []), token.label]))

    def _rotate(self, options: dict[str, Any]) -> None:
        token, secret = tokens.rotate(options["token_id"], _ACTOR)
        self._say(token, secret)
        self.stdout.write("The old token works for 24 hours more, or until it expires.")

    def _revoke(self, options: dict[str, Any]) -> None:
        self.stdout.write("revoked" if tokens.revoke(options["token_id"], _ACTOR) else "was revoked before; nothing changed")

    def _say(self, token: ApiToken, secret: str) -> None:
        self.stdout.write(f"id      {token.pk}")
        self.stdout.write(f"scopes  {', '.join(token.scopes)}")
        self.stdout.write(f"until   {token.expires_at:%Y-%m-%d %H:%M} UTC")
        self.stdout.write(f"token   {secret}")
        self.stdout.write("The token is shown this once; only its hash is stored.")


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _people(names: list[str]) -> list[User]:
    found = {user.get_username(): user for user in User.objects.filter(username__in=names, is_active=True)}
    missing = [name for name in names if name not in found]
    if missing:
        raise CommandError(f"There is no active user {', '.join(missing)}.")
    return list(found.values())


def _reach(client: ApiClient) -> str:
    return "everyone" if client.covers_everyone else f"the customers of {', '.join(client.business_entity_ids)}"
