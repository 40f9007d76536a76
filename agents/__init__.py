"""The agents: each reads, decides and proposes; none of them can act."""
