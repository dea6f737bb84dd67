"""A fast decoder for flat Avro records: some strings, then some floats, doubles or booleans.

Orders are small and come by the million, so decoding is half of the work of the pipeline. The bytes of
such a record are fixed once the lengths of its strings are known, hence one ``struct`` layout per
combination of lengths, kept. Whatever is unusual (a string of 64 bytes or more, another kind of field,
corrupt bytes) goes to the reference decoder, which also words the error;
``tests/unit/test_flat.py`` holds that both agree, byte for byte.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

Decode = Callable[[bytes], dict[str, Any]]

_FIXED = {"float": "f", "double": "d"}
#: Layouts kept; beyond (very many different lengths) the reference decoder takes over.
_MOST_LAYOUTS = 4096


def compile_flat(schema: Mapping[str, Any] | Any, reference: Decode) -> Decode | None:
    """Return a decoder for ``schema``, or None where only the reference will do."""
    if not isinstance(schema, Mapping) or schema.get("type") != "record":
        return None
    kinds = [field.get("type") for field in schema["fields"]]
    names = [field["name"] for field in schema["fields"]]
    strings = next((at for at, kind in enumerate(kinds) if kind != "string"), len(kinds))
    tail = kinds[strings:]
    if strings != 2 or not tail or any(not isinstance(kind, str) or kind not in _FIXED for kind in tail):
        return None
    return _two_strings(names, "".join(_FIXED[kind] for kind in tail), reference)


def _two_strings(names: list[str], tail: str, reference: Decode) -> Decode:
    """Compile the shape of an order: two strings, then numbers of fixed width."""
    layouts: dict[int, Callable[[bytes], tuple[Any, ...]]] = {}
    splits: dict[int, tuple[Callable[[bytes], tuple[Any, ...]], int, int]] = {}
    one, two, *rest = names

    def learn(first: int, second: int) -> Callable[[bytes], tuple[Any, ...]] | None:
        # A length is a zigzag varint: odd is negative, 128 and more goes on in the next byte.
        if first & 1 or second & 1 or first > 127 or second > 127 or len(layouts) >= _MOST_LAYOUTS:
            return None
        layout = struct.Struct(f"<x{first >> 1}sx{second >> 1}s{tail}").unpack
        layouts[first << 8 | second] = layout
        split = struct.Struct(f"<B{first >> 1}sB{second >> 1}s{tail}")
        splits[split.size] = split.unpack, first, second
        return layout

    def decode(payload: bytes) -> dict[str, Any]:
        try:
            first = payload[0]
            second = payload[(first >> 1) + 1]
            # unpack() demands the exact length: neither a byte too few nor one too many gets through.
            unpack = layouts.get(first << 8 | second) or learn(first, second)
            if unpack is None:
                return reference(payload)
            a, b, *values = unpack(payload)
            return {one: a.decode(), two: b.decode(), **dict(zip(rest, values, strict=True))}
        except (IndexError, struct.error, UnicodeDecodeError):
            return reference(payload)

    def decode_order(payload: bytes) -> dict[str, Any]:
        """The same for one number after the strings, the shape of an order, without the detours.

        Most orders of one length are split alike, so the length finds the layout, and the two length
        bytes are compared after it was unpacked: a quarter less time than looking them up first.
        """
        try:
            unpack, first, second = splits[len(payload)]
            one_length, a, two_length, b, value = unpack(payload)
            if one_length == first and two_length == second:
                return {one: a.decode(), two: b.decode(), only: value}
        except (KeyError, UnicodeDecodeError):
            pass  # a length not seen yet, or corrupt bytes
        return decode(payload)

    only = rest[0]
    return decode_order if len(rest) == 1 else decode
