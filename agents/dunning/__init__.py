"""Dunning and collections: why a payment failed, whether it will come in, when to try again, what to say."""
