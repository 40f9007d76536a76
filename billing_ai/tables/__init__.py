"""Plain pages to look things up in: lists that stay fast, files that are safe to open, history with its differences."""
