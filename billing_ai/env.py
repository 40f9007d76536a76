"""Every variable of the environment, named and typed once.

Each may also come from a file: `NAME_FILE=/run/secrets/name` is read when `NAME` is absent. `settings.py` is the only reader.
In production (`DATABASE_URL` set) what is missing or malformed stops the start, with the variable's name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

ROOT = Path(__file__).resolve().parent.parent


def with_files(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with each `NAME_FILE` read into `NAME`. Raises ImproperlyConfigured when such a file cannot be read."""
    merged = dict(environment)
    for name, path in environment.items():
        if not name.endswith("_FILE") or name[:-5] in environment or name[:-5] not in VARIABLES:
            continue
        try:
            merged[name[:-5]] = Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{name}={path} cannot be read ({error.strerror}): mount the secret or unset {name}.") from error
    return merged


# name: what it is for. One list, so that a deployment can be read at a glance; docs/guide/operations.md repeats it.
VARIABLES: dict[str, str] = {
    "DATABASE_URL": "postgres://… ; absent: SQLite under var/",
    "REDIS_URL": "redis://… ; absent: the broker that the start-up found, or the file system",
    "SECRET_KEY": "signs sessions; at least 32 characters",
    "MASTER_KEY": "wraps each customer's sealing key; 32 bytes in base64; absent: derived from SECRET_KEY",
    "ALLOWED_HOSTS": "host names, separated by commas",
    "CSRF_TRUSTED_ORIGINS": "https origins of the console, separated by commas",
    "DEBUG": "true only on a developer's machine",
    "CHARGEBEE_SITE": "the site's name, `acme` of acme.chargebee.com",
    "CHARGEBEE_API_KEY": "a key that may write: execution uses it",
    "CHARGEBEE_READ_API_KEY": "a read-only key: the agents use it; absent: CHARGEBEE_API_KEY",
    "CHARGEBEE_API_URL": "another address for /api/v2, for a simulator",
    "CHARGEBEE_RATE_PER_MINUTE": "the plan's limit: 150, 1000 or 3500",
    "CHARGEBEE_WEBHOOK_USER": "Basic auth of the webhook",
    "CHARGEBEE_WEBHOOK_PASSWORD": "Basic auth of the webhook; two, separated by a comma, while rotating",
    "CHARGEBEE_WEBHOOK_SECRET_PATH": "optional last segment of the webhook's address",
    "LLM_MODEL": "litellm's name of a model; absent: the built-in offline provider",
    "LLM_API_KEY": "the model provider's key",
    "LLM_API_BASE": "the model provider's address, for a local or proxied model",
    "LLM_FALLBACK_MODELS": "models to try in order when the first is away, separated by commas",
    "LLM_JUDGE_MODEL": "optional second model that may block a draft",
    "LLM_TIMEOUT_SECONDS": "how long one model call may take",
    "LLM_DAILY_BUDGET_USD": "model spend a day, all agents; 0 stops every paid call",
    "EMAIL_URL": "smtp://user:password@host:port",
    "DEFAULT_FROM_EMAIL": "sender of the messages",
    "SMS_API_URL": "Twilio's address, or one that speaks like it; absent: no SMS",
    "SMS_ACCOUNT": "Twilio's account SID",
    "SMS_TOKEN": "Twilio's token",
    "SMS_FROM": "the sending number or short code; a name will not do, as it cannot be answered with STOP",
    "SMS_KEYWORDS": "who answers STOP and HELP: ours (the provider's own answers to keywords are switched off) or provider",
    "ZENDESK_URL": "https://acme.zendesk.com ; absent: no help desk",
    "ZENDESK_USER": "agent's e-mail with /token",
    "ZENDESK_TOKEN": "Zendesk's API token",
    "SALESFORCE_URL": "the instance's address; absent: no Salesforce",
    "SALESFORCE_CLIENT_ID": "a connected app's consumer key; with the secret, tokens are got and renewed by OAuth's client credentials flow",
    "SALESFORCE_CLIENT_SECRET": "and its consumer secret",
    "SALESFORCE_TOKEN": "instead of those: an access token that somebody keeps fresh",
    "HUBSPOT_URL": "https://api.hubapi.com ; absent: no HubSpot",
    "HUBSPOT_TOKEN": "a private app's token",
    "PUBLIC_URL": "the console's own address, for unsubscribe links",
    "VENDOR_NAME": "the company in whose name messages are sent",
    "SUPPORT_EMAIL": "where customers may answer",
    "AUDIT_CHECKPOINTS": "where each head of the audit ledger is written outside the database: file:///path, s3://bucket/prefix, tsa+https://service, separated by commas",
    "AUDIT_TSA_ROOTS": "a PEM file of the root certificates that time stamps are checked against",
    "SECONDS_BETWEEN_SWEEPS": "how often beat looks for due work",
    "SEND_DELAY_SECONDS": "how long what a person approved waits, so that it can be undone",
    "RETENTION_DAYS": "how many days after a case was closed its words are kept; absent: for ever",
    "CHANGES_KEPT_DAYS": "how many days a line of the API's change feed and its deliveries are kept; absent: for ever",
    "DEMO": "true under `make demo` and `manage.py tour`: made-up customers, short delays, a clock that can be moved",
    "METRICS_TOKEN": "bearer token that /metrics asks for; absent: only this machine itself may read it",
    "WEBHOOKS_TO_PRIVATE_HOSTS": "true lets webhooks go to http and to hosts of the own network",
    "LOG_LEVEL": "INFO",
    "VAR_DIR": "where the embedded default keeps its files",
}

values: dict[str, str] = with_files(os.environ)
env = environ.Env()
env.ENVIRON = values


def required(name: str, is_production: bool, default: str) -> str:
    """A variable that production must set; elsewhere `default` serves. Raises ImproperlyConfigured with the name."""
    value = values.get(name, "")
    if value:
        return value
    if is_production:
        raise ImproperlyConfigured(f"{name} is not set: {VARIABLES[name]}. Set {name} or {name}_FILE and start again.")
    return default


def number(name: str, default: float) -> float:
    """A number that is not negative. Raises ImproperlyConfigured with the variable's name."""
    raw = values.get(name, "")
    if not raw:
        return default
    try:
        value = float(raw)
    except ValueError:
        value = -1.0
    if value < 0 or value != value:
        raise ImproperlyConfigured(f"{name}={raw!r} is not a number of at least 0.")
    return value


def flag(name: str, default: bool) -> bool:
    """A yes or no. Raises ImproperlyConfigured with the variable's name."""
    raw = values.get(name, "").lower()
    if raw in {"", "1", "true", "yes", "on", "0", "false", "no", "off"}:
        return raw in {"1", "true", "yes", "on"} if raw else default
    raise ImproperlyConfigured(f"{name}={raw!r} is neither true nor false.")


def address(name: str, default: str = "") -> str:
    """An http(s) address without a trailing slash. Raises ImproperlyConfigured with the variable's name."""
    raw = (values.get(name) or default).rstrip("/")
    if raw and not raw.startswith(("http://", "https://")):
        raise ImproperlyConfigured(f"{name}={raw!r} is no http or https address.")
    return raw


def words(name: str) -> list[str]:
    """A list separated by commas."""
    return [word.strip() for word in values.get(name, "").split(",") if word.strip()]
