"""Chargebee Billing, Product Catalog 2.0: what we read, what we write, what it tells us, and what its errors mean."""
