"""The one door out: proposals, the people and policies that decide on them, and the execution of what was approved."""
