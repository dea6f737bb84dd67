"""Each decoder under bytes that look for a way through it."""
