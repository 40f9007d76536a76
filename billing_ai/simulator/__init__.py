"""A Chargebee site to run against, with the world around it: mailbox, phone, help desk, CRM.

Its own process (`python -m billing_ai.simulator`). It imports no room of the product, so that nothing it does can be
an echo of the product's own beliefs.
"""
