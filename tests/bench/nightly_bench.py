"""The night as it is run, on PostgreSQL: facts of as many customers → gather → score → COPY, in batches; a crash in the middle; and a per-row loop.

    DEMO=true DATABASE_URL=postgres://…/scratch python -m tests.bench.nightly_bench --customers 1000000

The database must be a scratch one: it is migrated, filled (a subscription, three invoices, three payments, a card and four usage events a
customer) and left as it is. Its name has to end in `bench`. The loop does for one customer what the night does for a batch: gather, score,
store, one transaction each, on customers of the same table.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import django


def _fill(customers: int) -> None:
    """Facts by INSERT … SELECT: what one customer has depends on a hash of their number."""
    from django.db import connection

    statements = (
        "TRUNCATE facts_customer, facts_subscription, facts_invoice, facts_transaction, facts_paymentsource, signals_usageevent, churn_churnscore, "
        "churn_churnhistory, churn_valuechange, churn_departure, churn_scoringrun, churn_sentscore, churn_peermedians CASCADE",
        "INSERT INTO facts_customer (chargebee_customer_id, resource_version, fetched_at, is_deleted, locale, country, time_zone, has_email, has_phone,"
        " phone_country, is_company, auto_collection, net_term_days, tier, tags, email_consent, sms_consent, business_entity_id, customer_since,"
        " primary_payment_source_id) SELECT 'c' || lpad(i::text, 8, '0'), 0, now(), false, 'en', 'US', 'UTC', true, false, '', false, true, 0, '', '[]',"
        " 'yes', '', '', now() - (hashint4(i) & 1023) * interval '1 day', 'p' || i FROM generate_series(1, {n}) i",
        "INSERT INTO facts_subscription (chargebee_subscription_id, chargebee_customer_id, resource_version, fetched_at, is_deleted, status, item_price_ids,"
        " currency, mrr_minor, seats, has_discount, started_at, current_term_end_at) SELECT 's' || i, 'c' || lpad(i::text, 8, '0'), 0, now(), false,"
        " 'active', '[]', 'USD', 1000 + (hashint4(i) & 65535), 1 + (hashint4(i) & 31), false, now() - (hashint4(i) & 1023) * interval '1 day',"
        " now() + (hashint4(i) & 255) * interval '1 day' FROM generate_series(1, {n}) i",
        "INSERT INTO facts_paymentsource (chargebee_payment_source_id, chargebee_customer_id, resource_version, fetched_at, is_deleted, kind, status,"
        " network, funding, expires_on, issuing_country, instrument_hash) SELECT 'p' || i, 'c' || lpad(i::text, 8, '0'), 0, now(), false, 'card',"
        " 'valid', 'visa', 'credit', current_date + (hashint4(i) & 1023), 'US', '' FROM generate_series(1, {n}) i",
        "INSERT INTO facts_invoice (chargebee_invoice_id, chargebee_customer_id, resource_version, fetched_at, is_deleted, subscription_ids, status, currency,"
        " total_minor, amount_due_minor, amount_paid_minor, issued_on, due_on, paid_at, dunning_status, dunning_attempts)"
        " SELECT 'i' || i || '_' || k, 'c' || lpad(i::text, 8, '0'), 0, now(), false, '[]', 'paid', 'USD', 1000, 0, 1000, current_date - k * 30,"
        " current_date - k * 30, now() - k * interval '30 days' + (hashint4(i + k) & 3) * interval '1 day', '', 0"
        " FROM generate_series(1, {n}) i, generate_series(0, 2) k",
        "INSERT INTO facts_transaction (chargebee_transaction_id, chargebee_customer_id, resource_version, fetched_at, is_deleted, invoice_ids, kind, status,"
        " amount_minor, currency, happened_at, gateway, gateway_account_id, payment_method, initiator, decline_code, network_code, advice_code,"
        " decline_category, payment_source_id, instrument_hash, network) SELECT 't' || i || '_' || k, 'c' || lpad(i::text, 8, '0'), 0, now(), false, '[]',"
        " 'payment', CASE WHEN hashint4(i * 7 + k) & 7 = 0 THEN 'failure' ELSE 'success' END, 1000, 'USD', now() - k * interval '29 days', '', '', '', '',"
        " '', '', '', '', '', '', '' FROM generate_series(1, {n}) i, generate_series(0, 2) k",
        "INSERT INTO signals_usageevent (status, lane, not_before, attempt, max_attempts, reason, client, external_id, customer_system, customer_ref,"
        " chargebee_customer_id, received_at, wait_until, trace_id, name, quantity, unit, occurred_at, chargebee_subscription_id) SELECT 'done', 3, now(), 0,"
        " 8, '', 'b', i || '_' || k, 'chargebee', '', 'c' || lpad(i::text, 8, '0'), now(), now(), '', 'used', 1, '', now() - (k * 15 + 1) * interval '1 day',"
        " '' FROM generate_series(1, {n}) i, generate_series(0, 3) k WHERE hashint4(i) & 15 <> 0",
    )
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement.replace("{n}", str(customers)))
        cursor.execute("ANALYZE")


def _spent(module: Any, name: str, sums: dict[str, float], key: str) -> None:
    """Add up the time that one function takes."""
    real: Callable[..., Any] = getattr(module, name)

    def timed(*args: Any, **more: Any) -> Any:
        start = time.perf_counter()
        try:
            return real(*args, **more)
        finally:
            sums[key] = sums.get(key, 0.0) + time.perf_counter() - start

    setattr(module, name, timed)


def main() -> None:
    """Fill, score a night with a crash in the middle, loop, print; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--loop", type=int, default=300)
    parser.add_argument("--batch", type=int, default=20_000)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_ai.settings")
    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection, transaction

    if not str(settings.DATABASES["default"]["NAME"]).endswith("bench"):
        raise SystemExit("the database's name has to end in bench: it is emptied")
    call_command("migrate", verbosity=0)
    from agents.churn import nightly, scoring, storing
    from agents.churn.gather import gather, sources
    from agents.churn.models import ChurnHistory, ChurnScore, InterventionRule, ScoringRun
    from billing_ai.kernel import clock

    start = time.perf_counter()
    _fill(options.customers)
    InterventionRule.objects.update(is_enabled=False)
    print(f"filled in {time.perf_counter() - start:.0f} s", flush=True)
    sums: dict[str, float] = {}
    _spent(nightly, "gather", sums, "gather")
    _spent(nightly.storing, "store", sums, "store")
    _spent(nightly.storing, "read_before", sums, "read_before")
    _spent(nightly.peers, "compute", sums, "medians")
    real_score, batches = scoring.Scorer.score, [0]
    middle = max(1, options.customers // options.batch // 2)

    def score(self: Any, columns: Any) -> Any:
        batches[0] += 1
        if batches[0] == middle + 1:
            raise KeyboardInterrupt  # the worker dies with a batch in its hands
        begun = time.perf_counter()
        found = real_score(self, columns)
        sums["score"] = sums.get("score", 0.0) + time.perf_counter() - begun
        return found

    scoring.Scorer.score = score  # type: ignore[method-assign]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    try:
        nightly.work(seconds=1e9, batch=options.batch)
    except KeyboardInterrupt:
        connection.close()
    at_crash = ScoringRun.objects.values_list("done", flat=True).get()
    clock.shift(nightly.LEASE * 2)  # instead of waiting for the dead worker's lease to run out
    said = nightly.work(seconds=1e9, batch=options.batch)
    seconds = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    run = ScoringRun.objects.get()
    scored = (batches[0]) * options.batch
    scoring.Scorer.score = real_score  # type: ignore[method-assign]
    assert ChurnScore.objects.count() == options.customers, "not everyone has a score"
    assert ChurnHistory.objects.count() == options.customers, "a batch was written twice"
    as_of = clock.now()
    known, scorer = sources(as_of), scoring.current()
    names = list(ChurnScore.objects.order_by("?").values_list("chargebee_customer_id", flat=True)[: options.loop])
    begun = time.perf_counter()
    for name in names:
        with transaction.atomic():
            one = gather([name], as_of, known)
            held = storing.read_before([name], as_of, locked=True)
            storing.store(one, scorer.score(one.columns), held, as_of, scorer.version)
    loop = time.perf_counter() - begun
    rates = {"night": options.customers / seconds, "loop": options.loop / loop}
    figures = {
        "customers": options.customers, "seconds": round(seconds, 1), "customers_a_second": round(rates["night"]), "said": said,
        "loop_customers_a_second": round(rates["loop"], 1), "over_loop": round(rates["night"] / rates["loop"], 1),
        "seconds_in": {name: round(value, 1) for name, value in sums.items()}, "memory_growth_mb": round(grown),
        "done_at_crash": at_crash, "resumed": run.resumed, "scored_again": scored - -(-options.customers // options.batch) * options.batch,
    }  # fmt: skip
    print(json.dumps(figures | _pushes(options.batch)))


def _pushes(batch: int) -> dict[str, Any]:
    """Batches for one CRM of the first night's push and, when it was taken, of a night a day later in which nothing was heard of anybody."""
    from django.conf import settings

    from agents.churn import nightly, pushing, sent_scores
    from agents.churn.models import ScoringRun
    from approvals import crm_pushes
    from approvals.models import CrmBatch
    from billing_ai.kernel import clock

    settings.SALESFORCE_URL, settings.HUBSPOT_URL = "http://crm.test", ""
    run = ScoringRun.objects.get()
    first = crm_pushes.stage(pushing.rows(), as_of=run.as_of)
    assert first is not None, "nobody was scored"
    said = {"salesforce": {"at": clock.now().isoformat(), "taken": crm_pushes.BATCH, "refused": {}, "settled_by": "answer"}}
    CrmBatch.objects.filter(push=first["push"]).update(sent=said)
    run.figures = {**run.figures, "push": first}
    run.save()
    clock.shift(clock.offset() + timedelta(days=1))
    nightly.work(seconds=1e9, batch=batch)
    begun = time.perf_counter()
    sent_scores.learn()
    second = crm_pushes.stage(sent_scores.changed(pushing.rows()), as_of=clock.now()) or {"count": 0}
    return {
        "push_customers": [first["count"], second["count"]],
        "push_calls": [-(-count // crm_pushes.BATCH) for count in (first["count"], second["count"])],
        "push_staged_in_seconds": round(time.perf_counter() - begun, 1),
    }


if __name__ == "__main__":
    main()
