"""The help desk: Zendesk Support, or anything that speaks its v2 API."""
