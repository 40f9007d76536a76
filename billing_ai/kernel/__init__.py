"""Plain Python that every floor stands on: money, time, ids and the three ways a call can go wrong."""
