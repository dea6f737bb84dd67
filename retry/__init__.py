"""The retry consumer of the demo application."""
