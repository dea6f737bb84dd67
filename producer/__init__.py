"""The producer of the demo application."""
