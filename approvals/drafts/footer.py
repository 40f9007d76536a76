"""The line under every mail by which the customer can have no more of them. It is ours, so no draft can leave it out and no edit can take it away."""

from __future__ import annotations

from approvals.drafts.locales import language_of

_WORDS = {
    "ar": "لإيقاف تلقي رسائل من هذا النوع:",
    "cs": "Pokud si takové e-maily už nepřejete dostávat:",
    "da": "Ønsker du ikke længere at modtage denne type e-mails:",
    "de": "Wenn Sie keine solchen E-Mails mehr erhalten möchten:",
    "el": "Για να μη λαμβάνετε πλέον τέτοια μηνύματα:",
    "en": "To receive no more e-mails of this kind:",
    "es": "Para no recibir más correos como este:",
    "fi": "Jos et enää halua tällaisia viestejä:",
    "fr": "Pour ne plus recevoir d’e-mails de ce type :",
    "he": "להפסקת קבלת הודעות מסוג זה:",
    "hi": "ऐसे ईमेल आगे न पाने के लिए:",
    "hu": "Ha nem szeretne több ilyen e-mailt kapni:",
    "id": "Untuk berhenti menerima email seperti ini:",
    "it": "Per non ricevere più e-mail di questo tipo:",
    "ja": "このようなメールの受信を停止するには：",
    "ko": "이러한 메일을 더 이상 받지 않으려면:",
    "nb": "Ønsker du ikke lenger å motta slike e-poster:",
    "nl": "Wilt u dit soort e-mails niet meer ontvangen:",
    "pl": "Aby nie otrzymywać więcej takich wiadomości:",
    "pt": "Para não receber mais e-mails como este:",
    "ro": "Pentru a nu mai primi astfel de e-mailuri:",
    "ru": "Чтобы больше не получать такие письма:",
    "sv": "Vill du inte längre få sådana mejl:",
    "th": "หากไม่ต้องการรับอีเมลลักษณะนี้อีก:",
    "tr": "Bu tür e-postaları artık almak istemiyorsanız:",
    "uk": "Щоб більше не отримувати таких листів:",
    "vi": "Để không nhận thêm những email như thế này:",
    "zh": "如不想再收到此类邮件：",
}


def footer_words(locale: str) -> tuple[str, str]:
    """The words before the link, and the language that they are in: the customer's, or English where we have none."""
    language = language_of(locale)
    return (_WORDS[language], language) if language in _WORDS else (_WORDS["en"], "en")
