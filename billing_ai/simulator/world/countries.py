"""Countries the customers live in: language, money, time zone, tax, and how phones look there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Country:
    """What a customer's country decides. `tax_rate` in percent, `phone` with # for digits."""

    code: str
    locale: str
    currency: str
    timezone: str
    city: str
    tax_rate: float
    phone: str
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    company_forms: tuple[str, ...]


COUNTRIES: dict[str, Country] = {
    c.code: c
    for c in (
        Country("DE", "de", "EUR", "Europe/Berlin", "Hamburg", 19, "+4930555####", ("Anna", "Jonas", "Greta", "Felix"), ("Brandt", "Vogel", "Keller"), ("GmbH", "AG")),
        Country("AT", "de", "EUR", "Europe/Vienna", "Wien", 20, "+431555####", ("Theresa", "Lukas", "Eva"), ("Huber", "Gruber", "Pichler"), ("GmbH",)),
        Country("CH", "de", "CHF", "Europe/Zurich", "Zürich", 8.1, "+4144555####", ("Reto", "Nina", "Urs"), ("Frei", "Ammann", "Zollinger"), ("AG", "GmbH")),
        Country("FR", "fr", "EUR", "Europe/Paris", "Lyon", 20, "+331555####", ("Camille", "Hugo", "Manon"), ("Lefèvre", "Moreau", "Girard"), ("SARL", "SAS")),
        Country("BE", "fr", "EUR", "Europe/Brussels", "Liège", 21, "+324555####", ("Louise", "Arthur"), ("Dubois", "Lambert"), ("SRL",)),
        Country("ES", "es", "EUR", "Europe/Madrid", "Valencia", 21, "+3491555####", ("Lucía", "Mateo", "Carmen"), ("Navarro", "Ortega", "Vidal"), ("S.L.", "S.A.")),
        Country("MX", "es", "USD", "America/Mexico_City", "Guadalajara", 0, "+5233555####", ("Ximena", "Diego"), ("Ramírez", "Castillo"), ("S.A. de C.V.",)),
        Country("PT", "pt", "EUR", "Europe/Lisbon", "Porto", 23, "+35122555####", ("Inês", "Tiago"), ("Almeida", "Carvalho"), ("Lda",)),
        Country("BR", "pt", "BRL", "America/Sao_Paulo", "Curitiba", 0, "+5541555####", ("Rafaela", "Bruno", "Letícia"), ("Souza", "Barbosa", "Teixeira"), ("Ltda", "S.A.")),
        Country("NL", "nl", "EUR", "Europe/Amsterdam", "Utrecht", 21, "+3130555####", ("Sanne", "Daan", "Femke"), ("de Wit", "Bakker", "Visser"), ("B.V.",)),
        Country("IT", "it", "EUR", "Europe/Rome", "Bologna", 22, "+39051555####", ("Giulia", "Marco", "Elena"), ("Ferri", "Conti", "Galli"), ("S.r.l.", "S.p.A.")),
        Country("SE", "en", "SEK", "Europe/Stockholm", "Göteborg", 25, "+4631555####", ("Elsa", "Oskar"), ("Lindqvist", "Holm"), ("AB",)),
        Country("GB", "en", "GBP", "Europe/London", "Leeds", 20, "+44113496####", ("Amelia", "George", "Freya"), ("Whitmore", "Hughes", "Clarke"), ("Ltd", "plc")),
        Country("IE", "en", "EUR", "Europe/Dublin", "Cork", 23, "+35321555####", ("Aoife", "Cian"), ("Byrne", "Nolan"), ("Ltd",)),
        Country("US", "en", "USD", "America/New_York", "Austin", 0, "+1512555####", ("Maya", "Ethan", "Grace", "Noah"), ("Carter", "Reyes", "Sullivan", "Brooks"), ("Inc.", "LLC")),
        Country("CA", "en", "USD", "America/Toronto", "Toronto", 0, "+1416555####", ("Chloe", "Liam"), ("Fraser", "Tremblay"), ("Inc.",)),
        Country("AU", "en", "USD", "Australia/Sydney", "Brisbane", 10, "+6175550####", ("Isla", "Jack"), ("Mitchell", "Doyle"), ("Pty Ltd",)),
        Country("JP", "ja", "JPY", "Asia/Tokyo", "大阪", 10, "+8165555####", ("陽子", "健太", "美咲"), ("佐藤", "高橋", "渡辺"), ("株式会社",)),
        Country("KW", "en", "KWD", "Asia/Kuwait", "Kuwait City", 0, "+96522555###", ("Noura", "Faisal"), ("Al-Sabti", "Al-Mutlaq"), ("W.L.L.",)),
        Country("IN", "en", "USD", "Asia/Kolkata", "Pune", 0, "+9120555#####", ("Ananya", "Rohan"), ("Iyer", "Deshpande"), ("Pvt Ltd",)),
    )
}  # fmt: skip
ORDER = [
    "DE",
    "US",
    "GB",
    "FR",
    "DE",
    "ES",
    "JP",
    "US",
    "BR",
    "NL",
    "US",
    "IT",
    "GB",
    "CH",
    "US",
    "DE",
    "SE",
    "FR",
    "KW",
    "AT",
    "PT",
    "US",
    "ES",
    "CA",
    "GB",
    "JP",
    "DE",
    "BE",
    "US",
    "IE",
    "AU",
    "MX",
    "FR",
    "IN",
    "US",
    "IT",
    "BR",
    "NL",
    "DE",
    "GB",
    "US",
    "CH",
    "ES",
    "US",
    "DE",
    "FR",
    "JP",
    "GB",
]
COMPANY_WORDS = (
    "Nordlicht", "Harbor", "Copperleaf", "Atelier", "Bergwerk", "Sierra", "Kaze", "Bluebird", "Ipê", "Tulp", "Juniper", "Colle", "Wren",
    "Alpstein", "Redwood", "Havel", "Fjällen", "Mistral", "Dhow", "Donau", "Douro", "Prairie", "Albufera", "Maple", "Thistle", "Sakura",
    "Elbe", "Ardenne", "Granite", "Shannon", "Coral", "Agave", "Garonne", "Monsoon", "Cypress", "Adige", "Jacaranda", "Polder", "Isar",
    "Pennine", "Lantern", "Rigi", "Ebro", "Canyon", "Spree", "Loire", "Hikari", "Heather",
)  # fmt: skip
COMPANY_TRADES = (
    "Logistics", "Analytics", "Studio", "Foods", "Robotics", "Health", "Mobility", "Media", "Energy", "Optics", "Textiles", "Learning",
    "Travel", "Instruments", "Coffee", "Software", "Security",
)  # fmt: skip
