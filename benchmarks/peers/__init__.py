"""One file per contender; each imports its library in its own process only."""
