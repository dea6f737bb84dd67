"""Dead letters: looked at over the log, never copied into a second truth."""
