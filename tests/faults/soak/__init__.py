"""The long run: traffic from the simulator, chaos from a seed, and at the end our books against what the outside saw."""
