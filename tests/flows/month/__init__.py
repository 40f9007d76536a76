"""A simulated month: the driver plays customers and colleagues, the checker counts breaches from what the outside world saw."""
