"""The formats of an order side by side: bytes, time, what is refused, what a change breaks; all by running it."""
