"""The API that CRM systems use: customers, cases and changes out; usage, tickets, notes, ownership and consent in; decisions of named people."""
