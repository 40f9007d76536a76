"""Faults on real servers and real processes: PostgreSQL, Redis, web, worker and beat of our own, ended and frozen as the tests say."""
