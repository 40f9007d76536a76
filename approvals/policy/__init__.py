"""The policy gate: rules as rows, read here and applied to each proposal when it is made, when it is approved and just before it acts."""
