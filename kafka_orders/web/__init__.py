"""What a browser and other programs see: REST API, `/metrics`, and the page, in one process of its own.

It reads topics and writes only what operators ask for, so the pipeline runs the same with or without it.
"""
