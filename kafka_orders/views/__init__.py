"""Read-only views of what is committed: averages, lag, and the proof that nothing is missing."""
