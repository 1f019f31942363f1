"""Output spaces: what a score means."""
