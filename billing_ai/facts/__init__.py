"""The allow-listed facts about customers, invoices, payments and subscriptions: ids, minor units, dates and states; no personal data."""
