"""What a message must not say in words: threats, promises, urgency, discounts, claims, and talk about the prompt."""

from __future__ import annotations

import re
from decimal import Decimal

from approvals.drafts.case import Case, finding
from approvals.drafts.findings import Finding
from approvals.drafts.folding import FILL, NOT_AFTER_WORD, Reading
from approvals.drafts.language_rules import reads_as
from approvals.drafts.numerals import NUMBER, readings
from approvals.drafts.words import Lexicon, everywhere

_EXPECTED = {
    "threat_legal": "no legal action, collection or shaming",
    "promise": "no guarantee about service, fees or refunds",
    "false_urgency": "no deadline or consequence that is not in the facts",
    "consequence": "no consequence for the service that is not in the facts",
    "needless": "no word that nothing need be paid",
    "state_claim": "nothing about payment or state that is not in the facts",
    "prompt_leak": "nothing about prompts, models or drafting",
}
_ONE_WORD = 16
_NEAR = 6
_LINK_FOLLOWS = re.compile(r"\*{0,2}\s?[:：]\s*\*{0,2}\s*https?://")
_LAST = everywhere("last")
_NEEDS = everywhere("needs")
_CARD_PARTICULARS = everywhere("card_particulars")
_NEVER = everywhere("never")
_CLAUSE_END = re.compile(r"[.!?;:,\n。！？，、—–]")
_ASKED = frozenset("?？؟")
# What stands between two commas behind an invoice's number: "that invoice <number>, issued on <day> to <name>, is paid".
_INSERTED = re.compile(rf"{FILL}, [^.!?;:,\n]*,(?=\s*$)")
_REPORTED_AS = {"consequence": "false_urgency", "needless": "state_claim"}
_PERCENT = re.compile(rf"(?:{NOT_AFTER_WORD}[-−–]?(?P<before>{NUMBER})\s?[%％٪])|(?:[%％٪]\s?(?P<after>\d{{1,3}}(?:[.,]\d+)?))")
_LEAK = re.compile(
    r"(?i)\[\s*(?:system|assistant|user|developer|ai|model|draft|note|tone)\b[^\]\n]*\]|\[/?inst\]|<\|?/?(?:im_start|im_end|system|assistant|user|endoftext)[|>]?|```|^\s*#{1,4}\s|^(?:assistant|system|user|human|ai|output|response|draft|subject line|betreff|objet|asunto|assunto|oggetto|onderwerp)\s*:"
    r"|\"(?:subject|body|channel|tone)\"\s*:|^\s*[\[{]\s*\"|</?(?:thinking|reasoning|scratchpad|answer|output)>|\bsystem[ _-]?prompt\b|\b(?:chat)?gpt(?:-?\d)?\b|\bopenai\b|\banthropic\b|\bllms?\b"
    r"|^\s*\*\*[^*\n]+\*\*\s*:?\s*$|^---+\s*$|^\s*(?:varia(?:tion|ntes?|nt|ção|cao|ción)|wariant|vaihtoehto|option|opci[oó]n|opção|opzione|optie|opcja|opcje|alternativ[ea]?|mulighed|версия|вариант|варіант|オプション|案|方案)\s?(?:n[°ºo]\.?\s?)?(?:\d|[A-Ca-c]\b)",
    re.MULTILINE,
)  # fmt: skip


def check_phrases(reading: Reading, case: Case) -> list[Finding]:
    """threat_legal, promise, false_urgency, state_claim and prompt_leak by the word lists of the customer's language and of English."""
    findings: list[Finding] = []
    text = reading.open_folded
    for words in case.lexicons:
        hits = words.scan(text)
        if words.language != case.language:
            hits = {
                rule: [match for match in matches if reads_as(_sentence(text, match), words.language)] for rule, matches in hits.items()
            }
        warnings = _warnings_of_fraud(text)
        for rule, expected in _EXPECTED.items():
            for found in hits.get(rule, ()):
                if rule == "promise" and any(start <= found.start() < end for start, end in warnings):
                    continue  # "Never send us a card number": no promise
                if rule == "consequence" and _is_grounded(found, case, words):
                    continue
                if rule == "promise" and _promises_nothing(text, found, case, words):
                    continue
                if rule == "false_urgency" and (_is_retry_tomorrow(found, case, words) or _is_no_hurry(text, reading.plain, found, words)):
                    continue
                if rule == "threat_legal" and _asks_for_a_copy(text, found, words):
                    continue
                if rule == "state_claim" and (_is_no_claim(text, found, case, words) or _is_told_impact(text, found, case, words)):
                    continue
                if rule == "needless" and _is_conditional(text, found, words):
                    continue
                findings.append(finding(_REPORTED_AS.get(rule, rule), reading, found.start(), found.end(), expected))
        findings += [
            finding("pii_leak", reading, m.start(), m.end(), "no request for secrets")
            for m in hits.get("asks_secret", ())
            if not _is_denied(text, m, words) and not any(start <= m.start() < end for start, end in warnings)
        ]
        findings += _discounts(reading, case, words, hits)
    findings += [finding("prompt_leak", reading, m.start(), m.end(), _EXPECTED["prompt_leak"]) for m in _LEAK.finditer(reading.open)]
    return findings


def _promises_nothing(text: str, found: re.Match[str], case: Case, words: Lexicon) -> bool:
    """Whether it is asked ("May we make sure that …?"), or about what the facts say will happen: "If it stays open, the account … from <the day>"."""
    _, end = _bounds(text, found)
    if text[end : end + 1] in _ASKED:
        return True
    if "," in found.group(0) and _is_conditional(text, found, words):
        return True  # "If you have already paid, nothing is needed": two kinds of words, but of two clauses
    return case.facts.service_impact is not None and (FILL in _sentence(text, found) or _is_conditional(text, found, words))


def _is_retry_tomorrow(found: re.Match[str], case: Case, words: Lexicon) -> bool:
    """Whether "tomorrow" alone was found, and the next attempt is tomorrow."""
    retry, tomorrow = case.facts.retry_date, words.any_of("tomorrow")
    return (
        retry is not None
        and (retry - case.facts.today).days == 1
        and tomorrow is not None
        and tomorrow.fullmatch(found.group(0)) is not None
    )


def _warnings_of_fraud(text: str) -> list[tuple[int, int]]:
    """The sentences in which card particulars stand beside a "never": who warns of sending them asks for none, and promises nothing."""
    sentences = {_bounds(text, found) for found in _CARD_PARTICULARS.finditer(text)}
    return [(start, end) for start, end in sentences if _NEVER.search(text, start, end) is not None]


def _is_told_impact(text: str, found: re.Match[str], case: Case, words: Lexicon) -> bool:
    """Whether "access will be suspended from <day>" tells what the facts say will happen."""
    access = words.any_of("access_words")
    return (
        case.facts.service_impact is not None
        and access is not None
        and access.search(found.group(0)) is not None
        and FILL in _sentence(text, found)
    )


def _is_no_hurry(text: str, plain: str, found: re.Match[str], words: Lexicon) -> bool:
    """Whether "the picture as of today:" opens a list, or "Otherwise" only leads to where we can be reached, or the last hours are over."""
    as_of = words.any_of("as_of")
    if _LINK_FOLLOWS.match(plain, found.end()) is not None:
        return True  # "Pay now: https://…"
    if text[found.end() :].lstrip(" ").startswith(":") and as_of is not None and as_of.search(found.group(0)) is not None:
        return True
    start, end = _bounds(text, found)
    if _LAST.search(found.group(0)) is not None and _is_conditional(text, found, words):
        negations = words.any_of("negations")
        return negations is None or negations.search(text[start : found.start()]) is None  # "If you have paid in the last hours"
    return not text[start : found.start()].strip() and len(found.group(0)) <= _ONE_WORD and "@" in plain[found.end() : end]


def _asks_for_a_copy(text: str, found: re.Match[str], words: Lexicon) -> bool:
    """Whether a lawyers' department is only one that may need papers: "If your legal department needs a copy"."""
    start, end = _bounds(text, found)
    return _NEEDS.search(text[start:end]) is not None and (
        text[end : end + 1] in _ASKED or _is_conditional(text, found, words) or "isterse" in text[start:end]
    )


def _is_grounded(found: re.Match[str], case: Case, words: Lexicon) -> bool:
    """Whether a consequence is the one in the facts: data is only said to be deleted where it will be."""
    impact = case.facts.service_impact
    if impact is None:
        return False
    worse, shut = words.any_of("delete_words"), words.any_of("shut_words")
    if re.search(r"(?i)read", impact.type) and shut is not None and shut.search(found.group(0)) is not None:
        return False  # who may still read is not shut out
    is_deletion = bool(re.search(r"(?i)delet|eras|terminat|cancel|clos|purge|remov", impact.type))
    return is_deletion or worse is None or worse.search(found.group(0)) is None


def _is_no_claim(text: str, found: re.Match[str], case: Case, words: Lexicon) -> bool:
    """Whether words about payment are a condition, a denial, or about the part payment in the facts."""
    paid, negations = words.any_of("paid_words"), words.any_of("negations")
    minutes = words.units.get("minute")
    if minutes is not None and minutes.search(found.group(0)) is not None:
        return True  # "with this link it is done in a minute"
    if negations is not None and any(
        not text[no.end() : found.start()].strip() for no in negations.finditer(text, max(0, found.start() - 12), found.start())
    ):
        return True
    # "Has not been paid" denies; "you owe nothing", without a word for paid, claims because of its denial.
    if paid is not None and paid.search(found.group(0)) is not None:
        # "We cannot see that invoice … of … is paid": as far as the clause goes back.
        clause = _CLAUSE_END.split(_INSERTED.sub(" ", text[: found.start()]))[-1]
        ought = words.any_of("ought")
        if ought is not None and ought.search(clause + found.group(0) + _CLAUSE_END.split(text[found.end() : found.end() + 24])[0]):
            return True
        if _is_denied(text, found, words) or (negations is not None and negations.search(clause) is not None):
            return True
    return _is_conditional(text, found, words) or _is_part_payment(text, found, case, words)


def _is_denied(text: str, found: re.Match[str], words: Lexicon) -> bool:
    """Whether a denial stands in the match or shortly before it in the sentence; in Japanese, Korean and Chinese also behind it."""
    negations = words.any_of("negations")
    reach = 0 if words.is_spaced else 8
    before = re.split(r"[.!?;:\n。！？]", text[max(0, found.start() - 24) : found.start()])[-1]
    after = re.split(r"[.!?;:\n。！？、,，]", text[found.end() : found.end() + reach])[0]
    return negations is not None and negations.search(before + text[found.start() : found.end()] + after) is not None


def _is_part_payment(text: str, found: re.Match[str], case: Case, words: Lexicon) -> bool:
    """Whether "paid" or "received" is about the part payment in the facts: an amount, already judged, stands in the sentence, or no word for the whole."""
    paid = case.facts.invoice.amount_paid
    if paid is None or not paid.minor:
        return False
    start = max(text.rfind(mark, 0, found.start()) for mark in (". ", "!", "?", "\n", "。")) + 1
    ends = [index for mark in (". ", "!", "?", "\n", "。") if (index := text.find(mark, found.end())) >= 0]
    sentence = text[start : min(ends, default=len(text))]
    whole = words.any_of("whole_words")
    return FILL in sentence or (whole is not None and whole.search(sentence) is None)


def _sentence(text: str, found: re.Match[str]) -> str:
    """The sentence round a match."""
    start, end = _bounds(text, found)
    return text[start:end]


def _bounds(text: str, found: re.Match[str]) -> tuple[int, int]:
    """Where the sentence round a match begins and ends."""
    start = max(text.rfind(mark, 0, found.start()) for mark in ".!?\n。！？؟।") + 1
    ends = [index for mark in ".!?\n。！？؟।" if (index := text.find(mark, found.end())) >= 0]
    return start, min(ends, default=len(text))


def _is_conditional(text: str, found: re.Match[str], words: Lexicon) -> bool:
    """Whether the claim is asked, or under an if: before it, and where the language puts its if behind, anywhere in the sentence."""
    conditionals = words.any_of("conditionals")
    start = max(text.rfind(mark, 0, found.start()) for mark in (".", "!", "?", "\n", "。", "！", "？", "؟", "¿")) + 1
    ends = [index for mark in (".", "!", "?", "\n", "。", "？", "؟") if (index := text.find(mark, found.end())) >= 0]
    end = min(ends, default=len(text))
    # Asked; or the answer to a question: "Already paid? Then there is nothing for you to do."
    if text[end : end + 1] in _ASKED or (start and text[start - 1] in _ASKED):
        return True
    inverted = words.any_of("inverted")
    if inverted is not None and (opening := inverted.match(text[start:].lstrip())) is not None and opening.end() < found.end() - start:
        return True  # "Is the money on its way, you need not do anything": the Germanic if without an if
    # "Nothing for you to do if you have paid": an if that follows before another comma than its own belongs to the claim.
    after = re.split(r"[.!?;,\n]", text[found.end() : found.end() + 24].lstrip(" ,"))[0]
    if words.is_spaced and conditionals is not None and conditionals.search(after) is not None:
        return True
    return conditionals is not None and conditionals.search(text[start : found.end() if words.is_spaced else end]) is not None


def _discounts(reading: Reading, case: Case, words: Lexicon, hits: dict[str, list[re.Match[str]]]) -> list[Finding]:
    """Words for a discount or for instalments where no such offer is allowed. Where one is, its figures are checked elsewhere."""
    kinds = {offer.type for offer in case.facts.allowed_offers}
    allowed = " or ".join(offer.label for offer in case.facts.allowed_offers) or "no offer in this case"
    soft = words.any_of("discount_soft") if "percent" in kinds else None
    part = words.any_of("part_words")
    partly = words.any_of("part_payment") if case.facts.invoice.amount_paid is not None else None
    found = [
        match
        for match in hits.get("discount", ())
        # With a percentage allowed, one that was judged stands in the words for it: "we take 5 % off the amount".
        if (
            soft is None
            or (soft.search(match.group(0)) is None and FILL not in match.group(0) + reading.open_folded[match.end() : match.end() + _NEAR])
        )
        and not (part is not None and part.search(match.group(0)) is not None and _is_part_payment(reading.open_folded, match, case, words))
    ]
    if "installments" not in kinds:
        found += hits.get("instalments", ())
    if partly is not None:
        found = [match for match in found if partly.fullmatch(match.group(0)) is None]
    return [finding("unauthorised_discount", reading, match.start(), match.end(), allowed) for match in found]


def check_percentages(reading: Reading, case: Case) -> list[Finding]:
    """unauthorised_discount over every percentage that is not an allowed offer's; what was judged is blanked out."""
    findings: list[Finding] = []
    allowed = {Decimal(offer.value) for offer in case.facts.allowed_offers if offer.type == "percent"}
    expected = " or ".join(offer.label for offer in case.facts.allowed_offers) or "no offer in this case"
    spots = [(found.start(), found.end(), found.group("before") or found.group("after")) for found in _PERCENT.finditer(reading.open)]
    for words in case.lexicons:
        named = words.any_of("percent")
        if named is None:
            continue
        for found in named.finditer(reading.open_folded):
            number = re.search(rf"({NUMBER})[\s-]*$", reading.open[max(0, found.start() - 10) : found.start()])
            if number is not None:
                start = max(0, found.start() - 10) + number.start()
                spots.append((start, found.end(), number.group(1)))
            else:
                word = re.search(r"([^\W\d_]+)[\s-]*$", reading.open_folded[max(0, found.start() - 24) : found.start()])
                value = words.numbers.get(word.group(1)) if word is not None else None
                if value is not None and Decimal(value) not in allowed:
                    findings.append(finding("unauthorised_discount", reading, found.start(), found.end(), expected))
    for start, end, number_text in spots:
        if not any(value in allowed for value in readings(number_text, case.locale)):
            findings.append(finding("unauthorised_discount", reading, start, end, expected))
        reading.blank(start, end)
    for words in case.lexicons:
        findings += _instalment_counts(reading, case, words)
    return findings


def _instalment_counts(reading: Reading, case: Case, words: Lexicon) -> list[Finding]:
    """With instalments on offer, their number must be the one offered."""
    counts = {offer.value for offer in case.facts.allowed_offers if offer.type == "installments"}
    unit = words.any_of("instalment_units")
    if not counts or unit is None:
        return []
    findings: list[Finding] = []
    numbers = "|".join(sorted((re.escape(word) for word in words.numbers), key=len, reverse=True)) or "(?!)"
    pattern = re.compile(rf"(?<![\w.,])(?<!\d[ \u00a0\u202f])(?P<n>\d{{1,3}}|{numbers})[\s-]*(?:\w+[\s-]+){{0,2}}(?:{unit.pattern})")
    for found in pattern.finditer(reading.open_folded):
        text = found.group("n")
        value = int(text) if text.isdigit() else words.numbers.get(text)
        if value is not None and value >= 2 and value not in counts:
            findings.append(
                finding(
                    "unauthorised_discount",
                    reading,
                    found.start(),
                    found.end(),
                    " or ".join(offer.label for offer in case.facts.allowed_offers),
                )
            )
    return findings
