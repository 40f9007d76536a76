"""The last look before anything leaves for a model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.platform.llm.redaction import PersonalDataRefused, check, mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to rosa.tulp+x@tulpenhof.example please", "write to [mail] please"),
        ("ROSA@TULPENHOF.EXAMPLE", "[mail]"),
        ("call +31 20 123 45 67 now", "call [number] now"),
        ("card 4242424242424242, thanks", "card [number], thanks"),
        ("card 4242-4242-4242-4242.", "card [number]."),
        ("IBAN NL91 ABNA 0417 1643 00 ok", "IBAN [account] ok"),
        ("Bearer abcdefghij", "[key]"),
        ("two invoices, 3 attempts, 2025", "two invoices, 3 attempts, 2025"),
        ("MARIA said maria and Mariana", "[name] said [name] and Mariana"),
        ("陽菜さんから", "[name]さんから"),
    ],
)
def test_text_is_masked(text, masked):
    assert mask(text, ("Maria", "陽菜", "x")) == masked


@pytest.mark.parametrize("value", ["reminder", 3, True, ("links.pay", "invoice.number"), "de-CH", "insufficient_funds"])
def test_derived_values_pass(value):
    check({"stage": value}, ("Rosa",))


def test_the_refusal_names_the_variable_and_not_the_value():
    with pytest.raises(PersonalDataRefused) as raised:
        check({"a": "fine", "note": "rosa@tulpenhof.example"})
    assert (raised.value.variable, raised.value.kind) == ("note", "a mail address")
    assert "rosa" not in str(raised.value)


@given(st.text(max_size=300), st.text(min_size=2, max_size=20))
def test_what_is_masked_may_leave(text, name):
    check({"text": mask(text, (name,))})
