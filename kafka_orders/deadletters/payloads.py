"""What a dead letter's payload is: the pipeline's own format, registry-framed, JSON, text, or bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from ctypes import c_float
from dataclasses import dataclass
from typing import Any

from kafka_orders.domain.errors import DecodeError
from kafka_orders.domain.headers import Headers
from kafka_orders.domain.order import Decode
from kafka_orders.formats.framing import FRAME, FRAME_BYTES

_SHOWN_BYTES = 256
#: Records inside of records, beyond which a payload is shown as the text or bytes that it is.
_DEEPEST = 100
_AT_BYTE = re.compile(r"at byte (\d+)")


@dataclass(frozen=True, slots=True)
class Payload:
    """A payload, as far as it can be understood.

    ``kind`` is own, framed, json, text, bytes or null; ``fields`` are decoded ones; ``schema_id`` is the frame's.
    ``error`` tells why it is not the pipeline's own, ``broke_at`` the byte where decoding stopped, ``hex`` are
    its first 256 bytes.
    """

    kind: str
    fields: Mapping[str, Any] | None = None
    schema_id: int | None = None
    text: str = ""
    error: str = ""
    broke_at: int | None = None
    hex: str = ""


def describe(payload: bytes | None, decode: Decode, held: Headers | None = None) -> Payload:
    """Return what a payload is; ``decode`` is the pipeline's own format, ``held`` are its record's headers."""
    if payload is None:
        return Payload("null")
    fields, error = _tried(payload, held or [], decode)
    if fields is not None:
        return Payload("own", fields)
    if payload[:1] == FRAME and len(payload) > FRAME_BYTES:
        inside = payload[FRAME_BYTES:]
        told = _tried(inside, held or [], decode)[0] or _json(inside)
        if told is not None:
            return Payload("framed", told, int.from_bytes(payload[1:FRAME_BYTES], "big"))
    if (told := _json(payload)) is not None:
        return Payload("json", told, error=error)
    at = _AT_BYTE.search(error)
    broke_at, shown = (int(at[1]) if at else None), payload[:_SHOWN_BYTES].hex(" ")
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        text = ""
    is_text = bool(text) and all(one.isprintable() or one in "\t\r\n" for one in text)
    return Payload("text" if is_text else "bytes", None, None, text if is_text else "", error, broke_at, shown)


def tolerant(decode: Decode) -> Decode:
    """Return a decoder of every kind of payload that has fields, for filters over other systems' dead letters."""

    def decoded(payload: bytes, held: Headers) -> Mapping[str, Any]:
        found = describe(payload, decode, held)
        if found.fields is None:
            raise DecodeError(found.error or "no fields")
        return found.fields

    return decoded


def flat(order: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the fields of an order, those of records inside by dotted paths."""
    for name, value in order.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{before}{name}.")
        else:
            yield before + name, value


def readable(value: Any) -> Any:
    """Return a value as JSON has it and people wrote it: 16.26 also where 32 bits hold it, bytes as hex."""
    if isinstance(value, Mapping):
        return {str(name): readable(one) for name, one in value.items()}
    if isinstance(value, list):
        return [readable(one) for one in value]
    if isinstance(value, float | bytes):
        return _shortest(value) if isinstance(value, float) else value.hex(" ")
    return value if value is None or isinstance(value, str | int) else str(value)


def _shortest(value: float) -> float:
    if float(f"{value:.9g}") == value:
        return value
    # With more digits than 32 bits can tell, and exactly what they hold: that is where it came from.
    shorter = (float(f"{value:.{digits}g}") for digits in range(6, 10))
    return next((one for one in shorter if c_float(one).value == value), value)


def _tried(payload: bytes, held: Headers, decode: Decode) -> tuple[Mapping[str, Any] | None, str]:
    try:
        fields = decode(payload, held)
    except Exception as error:  # an app's own decoder raises what it likes
        return None, str(error)
    return (None, f"nested deeper than {_DEEPEST} levels") if _is_deep(fields) else (fields, "")


def _is_deep(value: Any, left: int = _DEEPEST) -> bool:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return left < 0 or any(_is_deep(one, left - 1) for one in inner)


def _json(payload: bytes) -> Mapping[str, Any] | None:
    if payload[:1] not in (b"{", b" ", b"\n", b"\t", b"\r"):
        return None
    try:
        told = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) and not _is_deep(told) else None
