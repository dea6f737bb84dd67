"""Fast encoders of flat Avro records, compiled from their schema as the decoders are (``flat.py``).

Values of a class of their own, missing fields and whatever does not fit are left to the reference.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, cast

from kafka_orders.formats.base import Encode
from kafka_orders.formats.flat import Field, fields_of, run

_ENCODE = """
def encode(record):
    try:
        if record.__class__ is dict:
            return b"".join(({parts},))
    except Exception:
        pass  # the reference may know better
    return reference(record)
"""
#: Of each kind: how a value is written, and what its class has to be where it may be null.
_KINDS = {
    "string": ("_SIZES[len(text := {v}.encode())] + text", "str"),
    "int": ("zigzag({v}, 31)", "int"),
    "long": ("zigzag({v}, 63)", "int"),
    "float": ("_FLOAT.pack({v})", "float"),
    "double": ("_DOUBLE.pack({v})", "float"),
    "boolean": ("(b'\\1' if {v} else b'\\0')", "bool"),
    "enum": ("written{n}[{v}]", "str"),
}
_FLOAT, _DOUBLE = struct.Struct("<f"), struct.Struct("<d")


def compile_encoder(schema: Mapping[str, Any] | Any, reference: Encode) -> Encode | None:
    """Return an encoder for ``schema``, or None where only the reference will do."""
    fields = fields_of(schema)
    if not fields:
        return None
    names = {f"written{one.n}": {each: zigzag(at, 31) for at, each in enumerate(one.symbols)} for one in fields}
    source = _ENCODE.format(parts=", ".join(map(_part, fields)))
    title = f"<flat encoder of {schema['name']}>"
    return cast("Encode", run(title, source, globals() | names | {"reference": reference})["encode"])


def _part(field: Field) -> str:
    """Return the expression that writes a field."""
    write, kind = _KINDS[field.kind]
    value = f"record[{field.name!r}]"
    if field.null is None:
        return write.format(n=field.n, v=value)
    # What is of another class becomes None, which cannot be joined: the reference takes over.
    some = f"{bytes([2 - field.null])!r} + {write.format(n=field.n, v='v')} if v.__class__ is {kind} else None"
    return f"{bytes([field.null])!r} if (v := {value}) is None else {some}"


def zigzag(number: int, bits: int) -> bytes:
    """Write a number of so many bits and a sign."""
    if not -1 << bits <= number < 1 << bits:
        raise OverflowError
    rest, written = number << 1 ^ number >> 63, bytearray()
    while rest > 127:
        written.append(rest & 127 | 128)
        rest >>= 7
    written.append(rest)
    return bytes(written)


#: The lengths of strings that are not unusually long.
_SIZES = [zigzag(size, 31) for size in range(1024)]
