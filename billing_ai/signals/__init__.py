"""What other systems tell us about customers: product usage, tickets, notes, replies, and who owns the customer in the CRM.

The API writes these rows; agents read them. Whatever a person typed is untrusted text, and lies here only sealed.
"""
