"""How the console says things: keys as words, figures and times as their reader writes them. No admin is needed for it."""
