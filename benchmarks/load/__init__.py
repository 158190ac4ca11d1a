"""Many streams at once against the embedded workspace: none fails, and nothing is left behind."""
