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
from functools import lru_cache
from typing import Any

Decode = Callable[[bytes], dict[str, Any]]

_FIXED = {"float": "f", "double": "d"}
#: Layouts kept: more are made anew when they come again.
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
    layouts = _Layouts("".join(_FIXED[kind] for kind in tail))
    return (_one_number if len(tail) == 1 else _numbers)(names, layouts, reference)


class _Layouts:
    """How the records of one schema are laid out: the newest layout for each length of a record."""

    def __init__(self, tail: str) -> None:
        """``tail`` are the struct codes behind the two strings."""
        self.newest: dict[int, tuple[Callable[[bytes], tuple[Any, ...]], int, int]] = {}
        self._made = lru_cache(_MOST_LAYOUTS)(
            lambda first, second: struct.Struct(f"<B{first >> 1}sB{second >> 1}s{tail}")
        )

    def learn(self, payload: bytes) -> bool:
        """Make the layout of ``payload`` the newest of its length; False where it has none."""
        first = payload[0] if payload else 1
        second = payload[(first >> 1) + 1] if len(payload) > (first >> 1) + 1 else 1
        # A length is a zigzag varint: odd is negative, 128 and more goes on in the next byte.
        if first & 1 or second & 1 or first > 127 or second > 127:
            return False
        made = self._made(first, second)
        if made.size != len(payload):
            return False  # a byte too few, or one too many
        self.newest[made.size] = made.unpack, first, second
        return True


def _one_number(names: list[str], layouts: _Layouts, reference: Decode) -> Decode:
    """Compile the shape of an order: two strings and a number.

    Most orders of one length are split alike, so the length finds the layout, and the two length bytes are
    compared after it was unpacked: a quarter less time than looking them up first.
    """
    one, two, only = names
    newest = layouts.newest

    def decode(payload: bytes) -> dict[str, Any]:
        try:
            unpack, first, second = newest[len(payload)]
            one_length, a, two_length, b, value = unpack(payload)
            if one_length == first and two_length == second:
                return {one: a.decode(), two: b.decode(), only: value}
        except UnicodeDecodeError:
            return reference(payload)
        except KeyError:
            pass  # a length that was not seen yet
        return decode(payload) if layouts.learn(payload) else reference(payload)

    return decode


def _numbers(names: list[str], layouts: _Layouts, reference: Decode) -> Decode:
    """Compile two strings and several numbers."""
    newest = layouts.newest

    def decode(payload: bytes) -> dict[str, Any]:
        if not layouts.learn(payload):
            return reference(payload)
        _, a, _, b, *values = newest[len(payload)][0](payload)
        try:
            return dict(zip(names, (a.decode(), b.decode(), *values), strict=True))
        except UnicodeDecodeError:
            return reference(payload)

    return decode
