"""What every agent stands on: prompts, the model gateway."""
