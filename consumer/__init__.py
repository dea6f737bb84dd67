"""The main consumer of the demo application."""
