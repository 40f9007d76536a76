"""The one settings file: the environment decides between the embedded default and production.

Production means that a database server or a Chargebee site is named and this is not the demo; then whatever is missing stops the start.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse_lazy

from billing_ai import env as _env
from billing_ai.env import address, env, flag, number, required, values, words
from billing_ai.unfold import UNFOLD  # noqa: F401  # read by django-unfold

BASE_DIR = _env.ROOT
DEMO = flag("DEMO", False)
TESTING = "pytest" in sys.modules
IS_PRODUCTION = not DEMO and not TESTING and bool(values.get("DATABASE_URL") or values.get("CHARGEBEE_SITE"))
VAR_DIR = Path(values.get("VAR_DIR") or BASE_DIR / "var")

# -- secrets and the web ---------------------------------------------------------------------------------------------------------
SECRET_KEY = required("SECRET_KEY", IS_PRODUCTION, "only-for-one-machine-with-the-embedded-default-and-its-made-up-customers")
if IS_PRODUCTION and len(SECRET_KEY) < 32:
    raise ImproperlyConfigured("SECRET_KEY is shorter than 32 characters: set a long random one.")


def _master_keys() -> list[bytes]:
    raw = words("MASTER_KEY")
    if not raw:
        return [hashlib.sha256(b"master-key:" + SECRET_KEY.encode()).digest()]
    keys = []
    for text in raw:
        try:
            key = base64.b64decode(text, validate=True)
        except ValueError as error:
            raise ImproperlyConfigured("MASTER_KEY is not base64.") from error
        if len(key) != 32:
            raise ImproperlyConfigured(f"MASTER_KEY holds {len(key)} bytes; it needs 32, in base64.")
        keys.append(key)
    return keys


MASTER_KEY, *MASTER_KEYS_OLD = _master_keys()
DEBUG = flag("DEBUG", False)
ALLOWED_HOSTS = words("ALLOWED_HOSTS") or (["localhost", "127.0.0.1", "[::1]", "testserver"] if not IS_PRODUCTION else [])
if IS_PRODUCTION and not ALLOWED_HOSTS:
    raise ImproperlyConfigured(f"ALLOWED_HOSTS is not set: {_env.VARIABLES['ALLOWED_HOSTS']}.")
CSRF_TRUSTED_ORIGINS = words("CSRF_TRUSTED_ORIGINS")
CSRF_FAILURE_VIEW = "billing_ai.console.refusals.from_a_stale_page"
if IS_PRODUCTION:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = 31_536_000
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 60 * 60 * 12
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "SAMEORIGIN"
PUBLIC_URL = address("PUBLIC_URL", "http://127.0.0.1:8000")
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.simple_history",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "simple_history",
    "rest_framework",
    "drf_spectacular",
    "anymail",
    "billing_ai.apps.BillingAiConfig",
    "billing_ai.work",
    "audit",
    "billing_ai.facts",
    "billing_ai.signals",
    "approvals",
    "agents",
    "agents.churn",
    "billing_ai.inbox",
    "billing_ai.api",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "billing_ai.console.refusals.NoteRefusals",
]

ROOT_URLCONF = "billing_ai.urls"
WSGI_APPLICATION = "billing_ai.wsgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.debug",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-gb"
LANGUAGES = [("en-gb", "English")]  # the console speaks English; figures and times follow each reader
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True
STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
WHITENOISE_USE_FINDERS = True  # one machine needs no collectstatic step
LOGIN_URL = reverse_lazy("admin:login")
AUTHENTICATION_BACKENDS = ["billing_ai.console.sign_in.OneLookBackend"]

# -- database --------------------------------------------------------------------------------------------------------------------
if values.get("DATABASE_URL"):
    try:
        DATABASES = {"default": env.db_url("DATABASE_URL")}
    except (ValueError, KeyError, ImproperlyConfigured) as error:
        raise ImproperlyConfigured("DATABASE_URL is malformed: postgres://user:password@host:port/name") from error
    if "postgresql" not in DATABASES["default"]["ENGINE"] and "sqlite" not in DATABASES["default"]["ENGINE"]:
        raise ImproperlyConfigured("DATABASE_URL must name PostgreSQL (postgres://…) or SQLite (sqlite:///…).")
    DATABASES["default"]["CONN_MAX_AGE"] = 600
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
else:
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": VAR_DIR / "billing.sqlite3"}}
if "sqlite" in DATABASES["default"]["ENGINE"]:
    STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # and VAR_DIR above it; WhiteNoise warns about a folder that is not there
    # A file in the tests too: an in-memory database has other locks than the one that people run on.
    DATABASES["default"]["TEST"] = {"NAME": str(Path(tempfile.gettempdir()) / f"billing-ai-test-{os.getpid()}.sqlite3")}
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
    }

# -- broker: only wakes workers up; flushing it loses nothing --------------------------------------------------------------------
REDIS_URL = values.get("REDIS_URL", "")
if REDIS_URL and not REDIS_URL.startswith(("redis://", "rediss://", "unix://")):
    raise ImproperlyConfigured("REDIS_URL must begin with redis://, rediss:// or unix://.")
# Shared by the processes of one host. Not in Redis: the console must work without it.
_FILES = {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": str(VAR_DIR / "cache")}
CACHES: dict[str, dict[str, Any]] = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"} if TESTING else _FILES}
# Who else has a case open: shared by all hosts where there is a Redis, and a courtesy that may fail.
_SHARED = {
    "BACKEND": "django.core.cache.backends.redis.RedisCache",
    "LOCATION": REDIS_URL,
    "KEY_PREFIX": "billing-ai",
    "OPTIONS": {"socket_connect_timeout": 0.3, "socket_timeout": 0.3},
}
CACHES["presence"] = _SHARED if REDIS_URL and not TESTING else CACHES["default"]
SECONDS_BETWEEN_SWEEPS = number("SECONDS_BETWEEN_SWEEPS", 2 if DEMO else 10)

# -- the outside world -----------------------------------------------------------------------------------------------------------
CHARGEBEE_SITE = required("CHARGEBEE_SITE", IS_PRODUCTION, "northwind-test")
CHARGEBEE_API_KEY = required("CHARGEBEE_API_KEY", IS_PRODUCTION, "test_simulator_key")
CHARGEBEE_READ_API_KEY = values.get("CHARGEBEE_READ_API_KEY") or CHARGEBEE_API_KEY
CHARGEBEE_API_URL = address("CHARGEBEE_API_URL", "" if IS_PRODUCTION else "http://127.0.0.1:8100/api/v2")
CHARGEBEE_RATE_PER_MINUTE = int(number("CHARGEBEE_RATE_PER_MINUTE", 150 if IS_PRODUCTION else 3500))
CHARGEBEE_WEBHOOK_USER = required("CHARGEBEE_WEBHOOK_USER", IS_PRODUCTION, "chargebee")
CHARGEBEE_WEBHOOK_PASSWORD = required("CHARGEBEE_WEBHOOK_PASSWORD", IS_PRODUCTION, "demo-webhook-password")
CHARGEBEE_WEBHOOK_SECRET_PATH = values.get("CHARGEBEE_WEBHOOK_SECRET_PATH", "")
OUTSIDE_TIMEOUT_SECONDS = 20.0

LLM_MODEL = values.get("LLM_MODEL", "") or "offline/collector"
LLM_API_KEY = values.get("LLM_API_KEY", "")
LLM_API_BASE = address("LLM_API_BASE")
LLM_FALLBACK_MODELS = words("LLM_FALLBACK_MODELS")
LLM_JUDGE_MODEL = values.get("LLM_JUDGE_MODEL", "")
LLM_TIMEOUT_SECONDS = number("LLM_TIMEOUT_SECONDS", 45)
LLM_DAILY_BUDGET_USD = number("LLM_DAILY_BUDGET_USD", 20)

_DEMO_SMTP = "smtp://127.0.0.1:8125"
_EMAIL_URL = required("EMAIL_URL", IS_PRODUCTION, _DEMO_SMTP)
try:
    vars().update(env.email_url_config(_EMAIL_URL))
except (KeyError, ValueError, ImproperlyConfigured) as error:
    raise ImproperlyConfigured("EMAIL_URL is malformed: smtp://user:password@host:port") from error
EMAIL_TIMEOUT = 15
VENDOR_NAME = values.get("VENDOR_NAME") or "Northwind Cloud"
SUPPORT_EMAIL = values.get("SUPPORT_EMAIL") or "billing@northwind.example"
DEFAULT_FROM_EMAIL = values.get("DEFAULT_FROM_EMAIL") or f"{VENDOR_NAME} <{SUPPORT_EMAIL}>"
_SIMULATOR = "" if IS_PRODUCTION else CHARGEBEE_API_URL.removesuffix("/api/v2")
SMS_API_URL = address("SMS_API_URL", _SIMULATOR)
SMS_ACCOUNT = values.get("SMS_ACCOUNT", "" if IS_PRODUCTION else "AC-simulator")
SMS_TOKEN = values.get("SMS_TOKEN", "" if IS_PRODUCTION else "simulator")
SMS_FROM = values.get("SMS_FROM", "" if IS_PRODUCTION else "+15005550006")
if SMS_FROM and not re.fullmatch(r"\+?\d{3,15}", SMS_FROM):
    raise ImproperlyConfigured("SMS_FROM is a number that can be answered: STOP and HELP have to reach us, and a name has no answers")
SMS_KEYWORDS = values.get("SMS_KEYWORDS") or "ours"
if SMS_KEYWORDS not in ("ours", "provider"):
    raise ImproperlyConfigured("SMS_KEYWORDS is ours or provider")
ZENDESK_URL = address("ZENDESK_URL", f"{_SIMULATOR}/zendesk" if _SIMULATOR else "")
ZENDESK_USER = values.get("ZENDESK_USER", "" if IS_PRODUCTION else "agent@northwind.example/token")
ZENDESK_TOKEN = values.get("ZENDESK_TOKEN", "" if IS_PRODUCTION else "simulator")
SALESFORCE_URL = address("SALESFORCE_URL", f"{_SIMULATOR}/salesforce" if _SIMULATOR else "")
SALESFORCE_TOKEN = values.get("SALESFORCE_TOKEN", "" if IS_PRODUCTION else "simulator")
SALESFORCE_CLIENT_ID = values.get("SALESFORCE_CLIENT_ID", "")
SALESFORCE_CLIENT_SECRET = values.get("SALESFORCE_CLIENT_SECRET", "")
HUBSPOT_URL = address("HUBSPOT_URL", f"{_SIMULATOR}/hubspot" if _SIMULATOR else "")
HUBSPOT_TOKEN = values.get("HUBSPOT_TOKEN", "" if IS_PRODUCTION else "simulator")

# -- how the system behaves ------------------------------------------------------------------------------------------------------
METRICS_TOKEN = values.get("METRICS_TOKEN", "")
SEND_DELAY_SECONDS = number("SEND_DELAY_SECONDS", 20 if DEMO else 300)
RETENTION_DAYS = number("RETENTION_DAYS", 0)
CHANGES_KEPT_DAYS = number("CHANGES_KEPT_DAYS", 0)
AUDIT_CHECKPOINTS: list[str] = words("AUDIT_CHECKPOINTS") or (
    [] if IS_PRODUCTION or TESTING else [(VAR_DIR / "audit-heads.jsonl").absolute().as_uri()]
)
AUDIT_TSA_ROOTS = Path(values["AUDIT_TSA_ROOTS"]) if values.get("AUDIT_TSA_ROOTS") else None
# The simulator's clock can be moved; on a demo machine ours follows this file. Production has no such file.
CLOCK_OFFSET_FILE: Path | None = VAR_DIR / "clock-offset" if DEMO else None

# The views of the API name their own authentication, scopes and throttle (billing_ai/api/calls.py); whatever forgets to is refused.
REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "UNAUTHENTICATED_USER": None,
    "EXCEPTION_HANDLER": "billing_ai.api.problems.handle",
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Billing AI",
    "VERSION": "1",
    "DESCRIPTION": (
        "Customers with their scores, cases and changes out; usage, tickets, notes, ownership and consent in; decisions of named people. "
        "How to start: docs/guide/api.md."
    ),
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENFORCE_NON_BLANK_FIELDS": True,
    "PREPROCESSING_HOOKS": ["billing_ai.api.schema.only_ours"],
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "billing_ai.api.schema.closed_bodies"],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
}
# On one machine the receiver of a webhook is on it too; in production no webhook may be pointed at the own network.
WEBHOOKS_TO_PRIVATE_HOSTS = flag("WEBHOOKS_TO_PRIVATE_HOSTS", not IS_PRODUCTION)
SIMPLE_HISTORY_HISTORY_CHANGE_REASON_USE_TEXT_FIELD = True

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"trace": {"()": "audit.actor.TraceFilter"}},
    "formatters": {
        "json": {"()": "pythonjsonlogger.json.JsonFormatter", "format": "%(asctime)s %(levelname)s %(name)s %(message)s %(trace_id)s"},
        "line": {"format": "%(levelname)s %(name)s %(message)s trace=%(trace_id)s"},
    },
    "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "json" if IS_PRODUCTION else "line", "filters": ["trace"]}},
    "root": {"handlers": ["out"], "level": values.get("LOG_LEVEL") or "INFO"},
    # Celery names each task it starts and ends; what happened is told by our own lines.
    "loggers": {
        "celery": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
        "aiosmtpd": {"level": "WARNING"},
    },
}
