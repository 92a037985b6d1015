"""Programs that make what the project ships, run by its developers."""
