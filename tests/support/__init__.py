"""What tests share: waiting for conditions, a pipeline of real processes, reading topics apart from it."""
