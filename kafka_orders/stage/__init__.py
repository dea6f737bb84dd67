"""The roles put together as processes: the demo that ends by itself, and everything at once."""
