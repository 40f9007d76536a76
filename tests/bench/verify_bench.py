"""How long verifying a mail takes, in itself and against rendering it. Run: `python -m tests.bench.verify_bench`."""

from __future__ import annotations

from statistics import median
from time import process_time

from approvals.drafts.findings import DraftText
from approvals.drafts.language_rules import forget, warm_up
from approvals.drafts.render import SlotDraft, render
from approvals.drafts.verify import verify
from tests.bench.report import Row, section
from tests.unit.drafts.cases import facts

BODY = (
    "Hi {{ customer.first_name }},\n\nInvoice {{ invoice.number }} for {{ invoice.amount_due }}, due {{ invoice.due_date }}, is still open on our side.\n\n"
    "Whenever you have a moment, please use this page to pay or to change your payment method: {{ links.pay }}\n\n"
    "If you have already paid, please disregard this message. For anything else, {{ support.email }} is the right address.\n\nKind regards,\n{{ sender.name }}"
)


def main(rounds: int = 200) -> dict[str, float]:
    """Median milliseconds of processor time, one mail a round, with the language cache emptied before each."""
    case, draft = facts(), SlotDraft("Invoice {{ invoice.number }}", BODY)
    warm_up()
    rendering: list[float] = []
    verifying: list[float] = []
    for _ in range(rounds + 5):
        start = process_time()
        message = render(draft, case)
        rendered = process_time()
        forget()
        before = process_time()
        verify(DraftText(message.subject, message.text), case)
        rendering.append(rendered - start)
        verifying.append(process_time() - before)
    render_ms, verify_ms = median(rendering[5:]) * 1000, median(verifying[5:]) * 1000
    return {"render_ms": round(render_ms, 3), "verify_ms": round(verify_ms, 3), "ratio": round(verify_ms / render_ms, 1)}


if __name__ == "__main__":
    found = main()
    rows = [
        Row(
            "verifying a mail, CPU", f"{found['verify_ms']:.1f} ms in the median", f"rendering it: {found['render_ms']:.2f} ms", f"{found['ratio']:.1f} times",
            "< 5 ms", found["verify_ms"] < 5,
        )
    ]  # fmt: skip
    section("verify", "Verifying a mail", rows, sizes="200 mails, the language cache emptied before each")
