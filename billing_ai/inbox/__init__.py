"""Webhooks in: verified, stored once under their event id, answered; everything else happens afterwards."""
