"""Text messages through Twilio, or through anything that speaks Twilio's REST."""
