"""The dead letter consumer of the demo application."""
