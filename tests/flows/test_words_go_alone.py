"""In automate a message goes out by itself only in words that cannot surprise; whose words they are is looked at once more before they leave."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from agents.platform.llm import provider
from approvals import evidence
from approvals.contract import Words
from approvals.models import Limit, Phase, Proposal, Revision
from approvals.policy.limits import AMOUNT_PER_ACTION, SECOND_PAIR_OF_EYES, SPECIALIST
from approvals.policy.words_origin import RULE
from approvals.revisions import hash_of, read_words
from audit import seal
from tests.flows.conftest import World

BODY = (
    "Hello,\n\nthe payment for invoice {{ invoice.number }} over {{ invoice.amount_due }} did not go through. You can settle it here:\n\n"
    "{{ links.pay }}\n\nThank you\n{{ sender.name }}"
)


def automate(*, model_words: bool = False) -> None:
    """Whatever the amount: which customer a flow gets, and so what is owed, depends on those that were taken before."""
    Limit.objects.filter(key__in=(AMOUNT_PER_ACTION, SECOND_PAIR_OF_EYES, SPECIALIST)).update(value=10**12)
    row = Phase.objects.get(agent="dunning", segment="everyone")
    row.phase, row.sample_to_people_percent, row.model_words = Phase.AUTOMATE, 0, model_words
    row.save()


@pytest.fixture
def a_model(settings: Any) -> None:
    """A model that writes plain words with slots, and a second one that passes whatever it is shown."""

    def writes(messages: Sequence[dict[str, Any]]) -> str:
        subject = "Your invoice {{ invoice.number }}"
        return json.dumps({"subject": subject, "body": BODY, "channel": "email", "tone": "neutral", "language": "en", "reasons": []})

    provider.add_scripted("plain", writes)
    provider.add_scripted("second", lambda messages: json.dumps({"block": False, "reason": "Nothing against it."}))
    settings.LLM_MODEL, settings.LLM_FALLBACK_MODELS, settings.LLM_JUDGE_MODEL = "plain/model", [], "second/model"


def proposed(world: World, customer: dict[str, Any]) -> Proposal:
    invoice_id = world.fail(customer, "expired_card")
    world.hear()
    return world.proposal(invoice_id, "send_message")


def of_words(checks: Sequence[dict[str, Any]] | None) -> list[str]:
    return [check["outcome"] for check in checks or () if check["rule"] == RULE]


def asks(message: Proposal) -> list[dict[str, Any]]:
    return [check for check in message.verdict["checks"] if check["outcome"] != "allow"]


def test_a_built_in_text_goes_out_by_itself_and_the_pack_says_why(world: World) -> None:
    automate()
    customer = world.customer("en")

    message = proposed(world, customer)
    world.act()

    message.refresh_from_db()
    assert (message.status, of_words(message.verdict["checks"])) == ("done", ["allow"]), asks(message)
    assert len(world.mail_to(customer)) == 1
    (told,) = [one for one in evidence.tell(message.case_id)["proposals"] if one["id"] == message.pk]
    (last,) = [check for check in told["execution"]["last_look"]["checks"] if check["rule"] == RULE]
    assert last["outcome"] == "allow"
    assert last["sentence"].startswith("Built-in text for first notice, card, in a ")


def test_a_models_words_wait_for_a_person(world: World, a_model: None) -> None:
    automate()
    customer = world.customer("en")

    message = proposed(world, customer)
    world.act()

    assert (message.status, of_words(message.verdict["checks"])) == ("waiting", ["person"])
    assert world.mail_to(customer) == []
    world.approve(message)
    world.act()
    message.refresh_from_db()
    assert message.status == "done"
    assert of_words(message.execution.last_look["checks"]) == ["allow"]  # type: ignore[index]  # it was looked at
    assert len(world.mail_to(customer)) == 1


def test_where_two_leads_agreed_a_models_words_go_out_as_long_as_the_second_model_is_there(
    world: World, a_model: None, settings: Any
) -> None:
    automate(model_words=True)
    first, second = world.customer("en"), world.customer("en")

    message = proposed(world, first)
    world.act()
    message.refresh_from_db()
    assert (message.status, of_words(message.verdict["checks"])) == ("done", ["allow"]), asks(message)
    assert len(world.mail_to(first)) == 1

    # when the second model is gone between decision and sending
    message = proposed(world, second)
    assert message.status == "approved", asks(message)
    settings.LLM_JUDGE_MODEL = ""
    world.act()
    # then the approval by policy does not stand
    message.refresh_from_db()
    assert (message.status, of_words(message.execution.last_look["checks"])) == ("withdrawn", ["deny"])  # type: ignore[index]
    assert world.mail_to(second) == []


@pytest.mark.parametrize("covered", ["nothing", "the revision's hash", "every hash"])
def test_words_that_change_between_decision_and_sending_do_not_leave(world: World, covered: str) -> None:
    # given a built-in text that the policy has approved
    automate()
    customer = world.customer("en")
    message = proposed(world, customer)
    assert message.status == "approved", asks(message)
    # when somebody with the database and the keys puts other words there, and mends the hashes too
    revision = Revision.objects.get(pk=message.current_id)
    words = read_words(revision)
    assert words is not None
    other = Words(words.channel, words.language, words.tone, words.subject, words.body + "\n\nYour colleague next door pays on time.")
    text = json.dumps({"subject": other.subject, "body": other.body}, ensure_ascii=False)
    Revision.objects.filter(pk=revision.pk).update(sealed_words=seal.seal(customer["id"], text))
    if covered != "nothing":
        Revision.objects.filter(pk=revision.pk).update(content_hash=hash_of(revision.payload, other))
    if covered == "every hash":
        message.decisions.update(content_hash=hash_of(revision.payload, other))
    world.act()
    # then nothing is sent, and the last look says what it saw
    message.refresh_from_db()
    assert message.status == "withdrawn"
    assert world.mail_to(customer) == []
    assert message.execution.last_look is not None
    denied = {check["rule"] for check in message.execution.last_look["checks"] if check["outcome"] == "deny"}
    stopped_by = {"nothing": "look.words_changed", "the revision's hash": "look.other_revision", "every hash": RULE}[covered]
    assert stopped_by in denied
