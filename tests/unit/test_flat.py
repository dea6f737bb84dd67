"""The compiled decoders, readers and encoders: taken for flat records, equal to the reference to the last byte."""

import collections
import decimal
import enum
import fractions
import itertools
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_orders.domain.averages import LARGEST_VALUE
from kafka_orders.domain.errors import InvalidOrderError
from kafka_orders.domain.order import Contract
from kafka_orders.formats import flat, flat_encode
from kafka_orders.formats.avro import AvroFormat, order_format
from kafka_orders.formats.flat import compile_flat, compile_reader
from kafka_orders.formats.flat_encode import compile_encoder

ORDER = order_format()
SYMBOLS = ["NEW", "PAID", "None", "_"]


class Id(str):
    """Text of a class of its own."""


class Number(enum.IntEnum):
    """A number of a class of its own."""

    ONE = 1


class Spelled:
    """No text, but the reference takes it for one."""

    def encode(self) -> bytes:
        return b"spelled"


def schema(*kinds: object, names: list[str] | None = None) -> dict:
    fields = [{"name": names[n] if names else f"f{n}", "type": kind} for n, kind in enumerate(kinds)]
    return {"type": "record", "name": "R", "fields": fields}


def never(given_to_reference):
    raise AssertionError(f"the reference was asked for {given_to_reference!r}")


def outcome(function, argument) -> str:
    """What comes out, with types and order, -0.0 and NaN told apart; or the refusal and its text."""
    try:
        return repr(function(argument))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def values(kind) -> st.SearchStrategy:
    """What a field of this kind may hold."""
    if isinstance(kind, list):
        return st.one_of(*map(values, kind))
    if isinstance(kind, dict):
        return st.sampled_from(kind["symbols"]) if kind["type"] == "enum" else values(kind["type"])
    long_text = st.integers(60, 70).map("ä".__mul__) | st.integers(1020, 1030).map("x".__mul__)
    return {
        "null": st.none(),
        "string": st.text(max_size=6) | long_text,
        "int": st.integers(-70, 70) | st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-70, 70) | st.integers(-(2**63), 2**63 - 1),
        "float": st.floats(width=32),
        "double": st.floats(),
        "boolean": st.booleans(),
    }[kind]


ODD = st.sampled_from([
    None, True, False, 0, 1, -1, 2**31, -(2**31) - 1, 2**63, 10**400, 0.0, -0.0, 1.0, 1.5, 1e39, float("nan"), "",
    "a", "1.5", "NaN", "NEW", "\ud800", b"a", b"NEW", bytearray(b"a"), Id("NEW"), Number.ONE, Spelled, Spelled(),
    decimal.Decimal(1), fractions.Fraction(1, 2), ("string", "a"), ("int", 1), ("long", True), ("E0", "NEW"), (),
    [], {}, [1],
])  # fmt: skip
plain_names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,3}", fullmatch=True)
names = plain_names | st.sampled_from(["class", "None", "payload", "at", "v0", "l0", "v", "record", "reference"])


@st.composite
def schemas(draw, *first):
    """Flat schemas: any number and order of kinds, spelled short or long, null either way round."""
    kinds = list(first)
    for n in range(draw(st.integers(0 if first else 1, 6))):
        kind = draw(st.sampled_from(["string", "string", "int", "long", "float", "double", "boolean", "enum"]))
        if kind == "enum":
            kind = {"type": "enum", "name": f"E{n}", "symbols": draw(st.sampled_from([SYMBOLS, SYMBOLS[:1]]))}
        elif draw(st.integers(0, 4)) == 0:
            kind = {"type": kind, "doc": "spelled long"}
        kinds.append(draw(st.sampled_from([kind, kind, kind, ["null", kind], [kind, "null"]])))
    called = draw(st.lists(names, min_size=len(kinds), max_size=len(kinds), unique=True))
    return schema(*draw(st.permutations(kinds)), names=called)


def records(of) -> st.SearchStrategy:
    return st.fixed_dictionaries({field["name"]: values(field["type"]) for field in of["fields"]})


@st.composite
def corrupt(draw, payload: bytes) -> bytes:
    """The bytes, cut short, changed, shifted or longer; numbers overlong, negative or huge."""
    at = draw(st.integers(0, len(payload)))
    cut = draw(st.integers(0, 3))
    inserted = draw(
        st.binary(max_size=2)
        | st.sampled_from([b"\x80", b"\x80\x00", b"\x82\x00", b"\x01", b"\x03", b"\x04", b"\xff" * 9 + b"\x01"])
        | st.sampled_from([b"\xff" * 8 + b"\x7f", b"\xff" * 10 + b"\x01", b"\xfe" * 4 + b"\x0f", b"\x80" * 12])
    )
    return draw(st.sampled_from([payload[:at], payload[:at] + inserted + payload[at + cut :], payload + inserted]))


@settings(max_examples=150)
@given(st.data())
def test_decoders_agree_on_sound_records(data) -> None:
    """Of any flat schema; records of many layouts by turns, each more than once."""
    of = data.draw(schemas())
    form = AvroFormat(of)
    assert compile_flat(of, never) is not None
    found = data.draw(st.lists(records(of), min_size=1, max_size=4))
    for record in (found + found[::-1]) * 2:
        payload = form.encode_any(record)
        assert form.encode(record) == payload
        assert outcome(form.decode, payload) == outcome(form.decode_any, payload)


@settings(max_examples=250)
@given(st.data())
def test_decoders_agree_on_corrupt_bytes(data) -> None:
    """The same record, or the same refusal in the same words; and the sound ones between are read still."""
    of = data.draw(schemas())
    form = AvroFormat(of)
    sound = [form.encode_any(data.draw(records(of))) for _ in range(2)]
    broken = [data.draw(corrupt(payload)) for payload in sound]
    for payload in [*sound, *broken, *sound, *broken, data.draw(st.binary(max_size=20))]:
        assert outcome(form.decode, payload) == outcome(form.decode_any, payload)


@settings(max_examples=250)
@given(st.data())
def test_encoders_agree_on_any_values(data) -> None:
    """Also on wrong ones, missing fields and defaults, fields too many and mappings that are no dict."""
    of = data.draw(schemas())
    for field in of["fields"]:
        if data.draw(st.integers(0, 5)) == 0:
            kind = field["type"][0] if isinstance(field["type"], list) else field["type"]
            field["default"] = data.draw(
                values(kind).filter(lambda one: one == one and abs(hash(one)) != float("inf"))
            )
    form = AvroFormat(of)
    record = data.draw(records(of))
    for name in data.draw(st.lists(st.sampled_from(sorted(record)), max_size=2)):
        record[name] = data.draw(ODD)
    if data.draw(st.integers(0, 3)) == 0:
        record.pop(data.draw(st.sampled_from(sorted(record))))
    record |= data.draw(st.sampled_from([{}, {}, {"more": 1}, {1: 2}]))
    dressed = data.draw(
        st.sampled_from([
            dict, dict, collections.OrderedDict, types.MappingProxyType, collections.UserDict,
            lambda found: collections.defaultdict(int, found), lambda found: list(found.items()),
        ])
    )(record)  # fmt: skip
    assert outcome(form.encode, dressed) == outcome(form.encode_any, dressed)


@pytest.mark.parametrize("kind", ["string", "int", "long", "float", "double", "boolean", "enum"])
@pytest.mark.parametrize("null", [None, 0, 1])
@given(ODD)
def test_encoders_agree_on_every_odd_value(kind, null, value) -> None:
    """Each kind, null or not: what is taken and how a refusal is worded."""
    if kind == "enum":
        kind = {"type": "enum", "name": "E0", "symbols": SYMBOLS}
    form = AvroFormat(schema({None: kind, 0: ["null", kind], 1: [kind, "null"]}[null]))
    assert outcome(form.encode, {"f0": value}) == outcome(form.encode_any, {"f0": value})


EVERY = schema(
    "string", "int", "long", "float", "double", "boolean", {"type": "enum", "name": "E", "symbols": SYMBOLS},
    ["null", "string"], ["long", "null"], ["null", {"type": "enum", "name": "F", "symbols": SYMBOLS}],
    {"type": "string"},
)  # fmt: skip
SOME = {"f0": "é" * 30, "f1": 300, "f2": -(2**50), "f3": 0.5, "f4": 0.1, "f5": True, "f6": "PAID", "f7": "x",
        "f8": -1, "f9": "_", "f10": "x" * 100}  # fmt: skip
NONE = SOME | {"f7": None, "f8": None, "f9": None, "f1": -1, "f5": False}
STRINGS = schema("string", "string", "string", "double", "float", "boolean")
SPLIT = [
    {"f0": "x" * one, "f1": "y" * two, "f2": "z", "f3": 0.5, "f4": -0.0, "f5": True}
    for one in range(6) for two in range(6)
]  # fmt: skip


@pytest.mark.parametrize(("of", "found"), [(EVERY, [SOME, NONE]), (STRINGS, SPLIT)])
def test_ordinary_records_take_the_fast_path(of, found) -> None:
    """The reference is not asked, also where records of one size are split in different ways by turns."""
    decode, encode, form = compile_flat(of, never), compile_encoder(of, never), AvroFormat(of)
    read = compile_reader(of, Contract("f0", "f4", "f10" if of is EVERY else "f1"), never)
    assert decode is not None
    assert encode is not None
    for record in [*found, *found[::-1], *(one for one in found for _ in range(3))]:
        payload = form.encode_any(record)
        assert encode(record) == payload
        assert repr(decode(payload)) == repr(record)
        if record["f0"] and of is EVERY:
            assert read is not None
            assert read(payload) == (record, record["f10"], record["f4"])


@pytest.mark.parametrize(
    "other",
    [
        schema(), schema("bytes"), schema("null"), schema("string", {"type": "array", "items": "int"}),
        schema(["null", "string", "int"]), schema(["string", "int"]), schema(["null"]), schema(["null", "null"]),
        schema({"type": "long", "logicalType": "timestamp-millis"}),
        schema(["null", {"type": "int", "logicalType": "date"}]),
        schema("float", {"type": "enum", "name": "E", "symbols": ["A"]}, "E"), schema(["null", schema("int")]),
        schema("string") | {"logicalType": "x"}, schema("string") | {"type": "error"},
        {"type": "enum", "name": "E", "symbols": ["A"]}, ["string"], "string",
    ],
)  # fmt: skip
def test_other_schemas_are_left_to_the_reference(other) -> None:
    """Rather slow than wrong."""
    assert compile_flat(other, never) is None
    assert compile_encoder(other, never) is None
    assert compile_reader(other, Contract(None, "f0", "f0"), never) is None


def test_names_are_literals_in_the_source() -> None:
    """Whatever they hold, and fields may be named as the source's own names."""
    wild = ["'] or 1 #", 'a"b\\', "{n}", "}{", "\n", "payload", "v0"]
    of = schema(*["int"] * len(wild), names=wild)
    record = dict(zip(wild, range(len(wild)), strict=True))
    decode, encode = compile_flat(of, never), compile_encoder(of, never)
    assert decode is not None
    assert encode is not None
    assert decode(encode(record)) == record


def test_tracebacks_show_the_source() -> None:
    """An error in generated code is read like any other."""
    with pytest.raises(AssertionError) as caught:
        compile_flat(schema("string"), never)(b"")
    generated = caught.traceback[1]
    assert (str(generated.path), str(generated.statement).strip()) == (
        "<flat decoder of R>", "return reference(payload)",
    )  # fmt: skip


numbers = st.sampled_from([0.0, -0.0, 1.0, -1.0, 5e-324, LARGEST_VALUE, LARGEST_VALUE / 2]) | st.floats()


@settings(max_examples=200)
@given(st.data())
def test_readers_agree(data) -> None:
    """Decoder and validator in one, or apart: order, group and value, or the same refusal in the same words."""
    of = data.draw(schemas("string", "string", data.draw(st.sampled_from(["float", "double"]))))
    kinds = {field["name"]: field["type"] for field in of["fields"]}
    texts = [name for name, kind in kinds.items() if kind == "string"]
    value = data.draw(st.sampled_from([name for name, kind in kinds.items() if kind in ("float", "double")]))
    contract = Contract(data.draw(st.sampled_from([None, *texts])), value, data.draw(st.sampled_from(texts)))
    form = AvroFormat(of)
    read, apart = form.reader(contract), contract.reader(form.decode_any)
    assert compile_reader(of, contract, never) is not None
    for _ in range(2):
        record = data.draw(records(of)) | {value: data.draw(numbers)}
        if data.draw(st.booleans()):
            record[data.draw(st.sampled_from(texts))] = ""
        try:
            payload = form.encode_any(record)
        except ValueError:
            continue  # no float
        for each in [payload] * 3 + [data.draw(corrupt(payload))] * 2:
            assert outcome(read, each) == outcome(apart, each)


@pytest.mark.parametrize(
    ("of", "contract", "fused"),
    [
        (schema("string", "string", "float"), Contract("f0", "f2", "f1"), True),
        (schema("string", "string", "float"), Contract("f0", "f2", "f0"), True),
        (schema("string", "double", "int"), Contract(None, "f1", "f0"), True),
        (schema("string", "string", "long"), Contract("f0", "f2", "f1"), False),
        (schema("string", ["null", "string"], "float"), Contract("f0", "f2", "f1"), False),
        (schema("string", "string", ["null", "float"]), Contract("f0", "f2", "f1"), False),
        (schema("int", "string", "float"), Contract("f0", "f2", "f1"), False),
        (schema("string", "string", "float"), Contract("f9", "f2", "f1"), False),
    ],
)
def test_readers_are_fused_where_they_can_be(of, contract, fused) -> None:
    """And are there in any case: an empty id is refused, a sound order read."""
    assert (compile_reader(of, contract, never) is not None) is fused
    form = AvroFormat(of)
    sound = form.encode({"f0": "a" if of["fields"][0]["type"] == "string" else 1, "f1": "b", "f2": 3} | (
        {"f1": 2.0} if contract.value_field == "f1" else {}))  # fmt: skip
    assert outcome(form.reader(contract), sound) == outcome(contract.reader(form.decode_any), sound)


def test_a_reader_refuses_as_the_validator_does() -> None:
    """With its words."""
    read = ORDER.reader(Contract())
    for order, told in (
        ({"orderId": "", "price": 1.0}, "orderId is empty"),
        ({"orderId": "a", "price": -1.0}, "-1.0"),
    ):
        with pytest.raises(InvalidOrderError, match=told):
            read(ORDER.encode({"product": "b", **order}))


def test_a_length_of_two_bytes_is_not_taken_for_one() -> None:
    """The last character of this id is what a careless decoder would read as the product's length."""
    wanted = {"orderId": "x" * 63 + "\x04", "product": "b", "price": 1.0}
    for _ in range(4):
        assert ORDER.decode(ORDER.encode(wanted)) == wanted


def test_a_length_longer_than_need_be_is_read_and_not_learned() -> None:
    """The reference takes it; a record of that size is read as ever after it."""
    form = AvroFormat(schema("string", "float"))
    for payload in [b"\x82\x00a\0\0\0\0"] * 3 + [b"\x04ab\0\0\0\0"] * 3:
        assert outcome(form.decode, payload) == outcome(form.decode_any, payload)
        assert outcome(form.decode, payload).startswith("{'f0': 'a")


def neighbours(payload: bytes):
    """The bytes, and all that are one byte from them."""
    yield payload
    for at in range(len(payload)):
        yield payload[:at]
        for byte in (0, 1, 2, 3, 4, 6, 127, 128, 130, 255):
            yield payload[:at] + bytes([byte]) + payload[at + 1 :]
            yield payload[:at] + bytes([byte]) + payload[at:]
    yield payload + b"\0"


def disagreements(of) -> int:
    """How often fast path and reference differ over much of what is nearly a record."""
    form, found = AvroFormat(of), 0
    # The end of the last text is what a careless decoder would read as the next length.
    for text, number in (("ab", 1), ("", -300), ("x" * 63 + "\x04", 5)):
        held = {"string": "b", "int": number, "float": 0.5}
        kinds = {each["name"]: each["type"] for each in of["fields"]}
        record = {name: held[kind if isinstance(kind, str) else kind[1]] for name, kind in kinds.items()} | {
            "f0": text
        }
        sound = form.encode_any(record)
        for payload in neighbours(sound):
            form.decode(sound)
            found += outcome(form.decode, payload) != outcome(form.decode_any, payload)
        for name, value in itertools.product(record, (True, 1.0, 2**31, "x", None)):
            for dressed in (record | {name: value}, collections.defaultdict(str, {name: value})):
                found += outcome(form.encode, dressed.copy()) != outcome(form.encode_any, dressed)
    return found


SAMPLES = [schema("string", "string", "float"), schema("string", "int", ["null", "string"], ["null", "int"])]


@pytest.mark.parametrize(
    ("template", "check", "none"),
    [
        ("_GUESS", "{same}", "True"),
        ("_DECODE", "at == len(payload)", "True"),
        ("_STRING", "if l{n} & 1: raise ValueError", ""),
        ("_STRING", "if l{n} > 127: l{n}, at = _varint(payload, at)", ""),
        ("_INT", "if byte > 127: byte, at = _varint(payload, at)", ""),
        ("_INT", "^ -(byte & 1)", ""),
        ("_NULLABLE", "elif byte != {some}: raise ValueError", ""),
        ("_ENCODE", "record.__class__ is dict", "True"),
        ("", "zigzag({v}, 31)", "zigzag({v}, 63)"),
        ("", "int", "v.__class__"),
    ],
)
def test_each_check_is_missed_when_it_is_gone(monkeypatch, template, check, none) -> None:
    """The tests above can fail: without it, fast path and reference differ."""
    assert [disagreements(of) for of in SAMPLES] == [0, 0]
    if template:
        module = flat_encode if template == "_ENCODE" else flat
        whole = getattr(module, template)
        assert check in whole
        weaker = whole.replace(check, none)
        monkeypatch.setattr(module, template, weaker)
        monkeypatch.setattr(
            flat, "_STEPS", {kind: weaker if step == whole else step for kind, step in flat._STEPS.items()}
        )
    else:
        rows = {
            kind: [none if part == check else part for part in row] for kind, row in flat_encode._KINDS.items()
        }
        monkeypatch.setattr(flat_encode, "_KINDS", rows)
    assert sum(disagreements(of) for of in SAMPLES) > 0


def test_a_reader_without_its_limit_would_be_noticed(monkeypatch) -> None:
    """The fused comparison is the validator's."""
    of, contract = schema("string", "double"), Contract(None, "f1", "f0")
    form = AvroFormat(of)
    payload = form.encode({"f0": "a", "f1": LARGEST_VALUE})
    assert outcome(form.reader(contract), payload).startswith("InvalidOrderError")
    monkeypatch.setattr(flat, "LARGEST_VALUE", 1e308)
    assert not outcome(form.reader(contract), payload).startswith("InvalidOrderError")
