"""Churn and health: how likely each customer is to leave within 30, 60 and 90 days, how well the account is doing, and why."""
