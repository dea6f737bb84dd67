"""Fast decoders of flat Avro records, compiled from their schema.

Orders are small and come by the million, so decoding is half of the work of the pipeline. Each schema gets
functions of its own, generated as text: a loop over the fields alone would take longer than they do, and an
order's validation is one comparison in them. Fields are read one after another; but where only strings vary in
size, most records of one size are split alike: the size finds the ``struct`` layout that came
twice in a row, and the length bytes are compared after it was unpacked.

Whatever is unusual (corrupt bytes, numbers of 64 bits) is left to the reference, which also words the error;
``tests/unit/test_flat.py`` holds that both agree, byte for byte.
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
_STEPS = {
    "string": _STRING,
    "int": _INT,
    "long": _INT,
    "float": "v{n}, = _FLOAT.unpack_from(payload, at); at += 4",
    "double": "v{n}, = _DOUBLE.unpack_from(payload, at); at += 8",
    "boolean": "v{n} = payload[at] != 0; at += 1",
    "enum": "v{n} = symbols{n}[payload[at]]; at += 1",
}
_NULLABLE = """
byte = payload[at]; at += 1
if byte == {null}: v{n} = None
elif byte != {some}: raise ValueError
else:
"""
#: Kinds that have a place in a layout, by their struct codes.
_CODES = {"string": "B{}s", "float": "f", "double": "d", "boolean": "?"}
_FLOAT, _DOUBLE = struct.Struct("<f"), struct.Struct("<d")
#: Thousands of fields take a second to compile, or more levels than Python's compiler has.
_MOST_FIELDS = 500


class Field(NamedTuple):
    """A field of a flat record; ``null`` is the byte before it that says it is null, if it can be."""

    n: int
    name: str
    kind: str
    null: int | None
    symbols: Sequence[str]


def compile_flat(schema: Mapping[str, Any] | Any, reference: Decode) -> Decode | None:
    """Return a decoder for ``schema``, or None where only the reference will do."""
    fields = fields_of(schema)
    return _decoder(f"<flat decoder of {schema['name']}>", fields, reference) if fields else None


def compile_reader(schema: Mapping[str, Any] | Any, contract: Contract, apart: Read) -> Read | None:
    """Return decoder and validator in one, or None where only the two ``apart`` will do.

    Orders that it does not take, it leaves to them.
    """
    fields = fields_of(schema)
    found: dict[str | None, Any] = {one.name: (one.kind, f"v{one.n}") for one in fields if one.null is None}
    found[None] = "string", "True"  # where no id is asked for
    match [found.get(name) for name in (contract.value_field, contract.group_by, contract.id_field)]:
        case [("float" | "double", value), ("string", group), ("string", key)]:
            sound = f"if 0.0 <= {value} < {LARGEST_VALUE!r} and {key}: "
            title, more = f"<flat reader of {schema['name']}>", f", {group}, {value}"
            return cast("Read", _decoder(title, fields, apart, sound, more))
    return None


def fields_of(schema: Mapping[str, Any] | Any) -> list[Field]:
    """Return the fields of a flat record; none where only the reference will do."""
    if not isinstance(schema, Mapping) or schema.get("type") != "record" or "logicalType" in schema:
        return []
    found = [_field(n, each["name"], each["type"]) for n, each in enumerate(schema["fields"])]
    return found if len(found) <= _MOST_FIELDS and all(one.kind in _STEPS for one in found) else []


def _field(n: int, name: str, kind: Any) -> Field:
    null = None
    if isinstance(kind, list) and len(kind) == 2 and "null" in kind:
        null = 2 * kind.index("null")
        kind = kind[0 if null else 1]
    told = kind if isinstance(kind, Mapping) and "logicalType" not in kind else {"type": kind}
    return Field(n, name, str(told["type"]), null, told.get("symbols", ()))


def _decoder(title: str, fields: list[Field], reference: Any, sound: str = "", more: str = "") -> Any:
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
    names = globals() | symbols | {"reference": reference, "layouts": layouts, "learn": learn}
    return run(title, source, names)["decode"]


def _step(field: Field) -> str:
    """Return the lines that read a field."""
    n, _, kind, null, _ = field
    step = _STEPS[kind].format(n=n)
    return step if null is None else _NULLABLE.format(n=n, null=null, some=2 - null) + indent(step, "    ")


def run(title: str, source: str, names: dict[str, Any]) -> dict[str, Any]:
    """Run generated source over ``names`` and return them; tracebacks show its lines."""
    linecache.cache[title] = len(source), None, source.splitlines(keepends=True), title
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
