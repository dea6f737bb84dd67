"""The order contract in Avro: schemaless, the schema loaded once."""

from typing import Any

from kafka_orders.formats.avro import order_format

_FORMAT = order_format()


def avro_serialize(record: dict[str, Any]) -> bytes:
    """Return the Avro bytes of an order; raises ValueError for what does not fit the schema."""
    return _FORMAT.encode(record)


def avro_deserialize(payload: bytes) -> dict[str, Any]:
    """Return the order in Avro bytes; raises DecodeError (a ValueError) for anything else."""
    return _FORMAT.decode(payload)
