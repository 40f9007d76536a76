"""The pages that look over all rooms at once: today, and what is parked."""
