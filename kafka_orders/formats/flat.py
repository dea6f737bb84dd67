"""Fast decoders and encoders of flat Avro records, compiled from their schema.

Orders are small and come by the million, so decoding is half of the work of the pipeline. Each schema gets
functions of its own, generated as text: a loop over the fields alone would take longer than they do, and an
order's validation is one comparison in them. Fields are read one after another; but where only strings vary in
size, most records of one size are split alike: the size finds the ``struct`` layout that came
twice in a row, and the length bytes are compared after it was unpacked.

Whatever is unusual (corrupt bytes, numbers of 64 bits, values of a class of their own) is left to the reference,
which also words the error; ``tests/unit/test_flat.py`` holds that both agree, byte for byte.
"""

from __future__ import annotations

import linecache
import struct
from collections.abc import Callable, Mapping, Sequence
from textwrap import indent
from typing import Any, NamedTuple, cast

from kafka_orders.domain.averages import LARGEST_VALUE
from kafka_orders.domain.order import Contract, Read

Decode = Callable[[bytes], dict[str, Any]]
Encode = Callable[[Mapping[str, Any]], bytes]

_DECODE = """
def decode(payload):{guess}
    at = 0
    try:
{steps}
        if at == len(payload):
            {learned}
            {result}
    except (LookupError, ValueError, struct.error):
        pass  # unusual, or no such record
    return reference(payload)
"""
_GUESS = """
    try:
        unpack, {expected} = layouts[len(payload)]
        {unpacked} = unpack(payload)
        if {same}:
            {texts}
            {result}
    except (LookupError, ValueError, struct.error):
        pass  # no layout of this size yet, or no UTF-8"""
_ENCODE = """
def encode(record):
    try:
        if record.__class__ is dict:
            return b"".join(({parts},))
    except Exception:
        pass  # the reference may know better
    return reference(record)
"""
# Lengths and numbers are zigzag varints: odd is negative, and 128 or more goes on in the next byte.
_STRING = """
l{n} = payload[at]; at += 1
if l{n} > 127: l{n}, at = _varint(payload, at)
if l{n} & 1: raise ValueError
v{n} = payload[at : (at := at + (l{n} >> 1))].decode()"""
_INT = """
byte = payload[at]; at += 1
if byte > 127: byte, at = _varint(payload, at)
v{n} = byte >> 1 ^ -(byte & 1)"""
_NULLABLE = """
byte = payload[at]; at += 1
if byte == {null}: v{n} = None
elif byte != {some}: raise ValueError
else:
"""
#: Of each kind: how field n is read and value v written, and what v's class has to be where it may be null.
_KINDS = {
    "string": (_STRING, "_SIZES[len(text := {v}.encode())] + text", "str"),
    "int": (_INT, "_zigzag({v}, 31)", "int"),
    "long": (_INT, "_zigzag({v}, 63)", "int"),
    "float": ("v{n}, = _FLOAT.unpack_from(payload, at); at += 4", "_FLOAT.pack({v})", "float"),
    "double": ("v{n}, = _DOUBLE.unpack_from(payload, at); at += 8", "_DOUBLE.pack({v})", "float"),
    "boolean": ("v{n} = payload[at] != 0; at += 1", "(b'\\1' if {v} else b'\\0')", "bool"),
    "enum": ("v{n} = symbols{n}[payload[at]]; at += 1", "written{n}[{v}]", "str"),
}
#: Kinds that have a place in a layout, by their struct codes.
_CODES = {"string": "B{}s", "float": "f", "double": "d", "boolean": "?"}
_FLOAT, _DOUBLE = struct.Struct("<f"), struct.Struct("<d")


class _Field(NamedTuple):
    """A field of a flat record; ``null`` is the byte before it that says it is null, if it can be."""

    n: int
    name: str
    kind: str
    null: int | None
    symbols: Sequence[str]


def compile_flat(schema: Mapping[str, Any] | Any, reference: Decode) -> Decode | None:
    """Return a decoder for ``schema``, or None where only the reference will do."""
    fields = _fields(schema)
    return _decoder(f"<flat decoder of {schema['name']}>", fields, reference) if fields else None


def compile_reader(schema: Mapping[str, Any] | Any, contract: Contract, apart: Read) -> Read | None:
    """Return decoder and validator in one, or None where only the two ``apart`` will do.

    Orders that it does not take, it leaves to them.
    """
    fields = _fields(schema)
    found: dict[str | None, Any] = {one.name: (one.kind, f"v{one.n}") for one in fields if one.null is None}
    found[None] = "string", "True"  # where no id is asked for
    match [found.get(name) for name in (contract.value_field, contract.group_by, contract.id_field)]:
        case [("float" | "double", value), ("string", group), ("string", key)]:
            sound = f"if 0.0 <= {value} < {LARGEST_VALUE!r} and {key}: "
            title, more = f"<flat reader of {schema['name']}>", f", {group}, {value}"
            return cast("Read", _decoder(title, fields, apart, sound, more))
    return None


def compile_encoder(schema: Mapping[str, Any] | Any, reference: Encode) -> Encode | None:
    """Return an encoder for ``schema``, or None where only the reference will do."""
    fields = _fields(schema)
    symbols = {f"written{one.n}": {each: _zigzag(at, 31) for at, each in enumerate(one.symbols)} for one in fields}
    source = _ENCODE.format(parts=", ".join(map(_part, fields)))
    return (
        _run(f"<flat encoder of {schema['name']}>", source, reference=reference, **symbols)["encode"]
        if fields
        else None
    )


def _fields(schema: Mapping[str, Any] | Any) -> list[_Field]:
    """Return the fields of a flat record; none where only the reference will do."""
    if not isinstance(schema, Mapping) or schema.get("type") != "record" or "logicalType" in schema:
        return []
    found = [_field(n, each["name"], each["type"]) for n, each in enumerate(schema["fields"])]
    return found if all(one.kind in _KINDS for one in found) else []


def _field(n: int, name: str, kind: Any) -> _Field:
    null = None
    if isinstance(kind, list) and len(kind) == 2 and "null" in kind:
        null = 2 * kind.index("null")
        kind = kind[0 if null else 1]
    told = kind if isinstance(kind, Mapping) and "logicalType" not in kind else {"type": kind}
    return _Field(n, name, str(told["type"]), null, told.get("symbols", ()))


def _decoder(title: str, fields: list[_Field], reference: Any, sound: str = "", more: str = "") -> Any:
    """Return a function from bytes to the record and what is ``more``, or to the reference's result."""
    parts = {"result": sound + "return {" + ", ".join(f"{one.name!r}: v{one.n}" for one in fields) + "}" + more}
    texts = [one.n for one in fields if one.kind == "string"]
    guess = learned = ""
    if texts and all(one.null is None and one.kind in _CODES for one in fields):
        lengths = [f"l{n}" for n in texts]
        learned = f"if {' | '.join(lengths)} < 128: learn(at, {', '.join(lengths)})"
        guess = _GUESS.format(
            expected=", ".join(f"e{n}" for n in texts),
            unpacked="".join(f"l{one.n}, " * (one.n in texts) + f"v{one.n}, " for one in fields),
            same=" and ".join(f"l{n} == e{n}" for n in texts),
            texts="; ".join(f"v{n} = v{n}.decode()" for n in texts),
            **parts,
        )
    template = "<" + "".join(_CODES.get(one.kind, "") for one in fields)

    layouts: dict[int, Any] = {}
    latest: dict[int, Any] = {}

    def learn(size: int, *lengths: int) -> None:
        if latest.get(size) == lengths:  # the second in a row: making a layout takes longer than walking
            layouts[size] = struct.Struct(template.format(*(length >> 1 for length in lengths))).unpack, *lengths
        latest[size] = lengths

    symbols = {f"symbols{one.n}": {2 * at: each for at, each in enumerate(one.symbols[:64])} for one in fields}
    steps = indent("\n".join(map(_step, fields)), " " * 8)
    source = _DECODE.format(guess=guess, steps=steps, learned=learned, **parts)
    return _run(title, source, reference=reference, layouts=layouts, learn=learn, **symbols)["decode"]


def _step(field: _Field) -> str:
    """Return the lines that read a field."""
    n, _, kind, null, _ = field
    step = _KINDS[kind][0].format(n=n)
    return step if null is None else _NULLABLE.format(n=n, null=null, some=2 - null) + indent(step, "    ")


def _part(field: _Field) -> str:
    """Return the expression that writes a field."""
    _, write, kind = _KINDS[field.kind]
    value = f"record[{field.name!r}]"
    if field.null is None:
        return write.format(n=field.n, v=value)
    # What is of another class becomes None, which cannot be joined: the reference takes over.
    some = f"{bytes([2 - field.null])!r} + {write.format(n=field.n, v='v')} if v.__class__ is {kind} else None"
    return f"{bytes([field.null])!r} if (v := {value}) is None else {some}"


def _run(title: str, source: str, **names: Any) -> dict[str, Any]:
    """Run generated source with this module's names and more, and return them; tracebacks show its lines."""
    linecache.cache[title] = len(source), None, source.splitlines(keepends=True), title
    names |= globals()
    exec(compile(source, title, "exec"), names)  # noqa: S102  what a schema names stands in it as literals
    return names


def _varint(payload: bytes, at: int) -> tuple[int, int]:
    """Read on after the first byte of a number: the number, still in zigzag, and where it ends."""
    number = payload[at - 1] & 127
    for shift in range(7, 63, 7):
        byte = payload[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
    raise ValueError  # what bits beyond these mean, the reference decides


def _zigzag(number: int, bits: int) -> bytes:
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
_SIZES = [_zigzag(size, 31) for size in range(1024)]
