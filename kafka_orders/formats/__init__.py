"""Bytes to orders and back: the only room that imports fastavro."""
