"""The formats side by side: what is said of them is what they do."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from kafka_orders.comparison import chart, evolving, page, speed, spoilt
from kafka_orders.comparison.compare import Comparison, compare
from kafka_orders.comparison.ways import Way, ways
from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.order import Contract
from kafka_orders.formats.base import KINDS
from kafka_orders.formats.choice import contract_format, make_format
from kafka_orders.formats.evolution import Source, changes
from kafka_orders.pipeline.produce import random_orders
from tests.unit.test_own_schemas import SALES

ORDERS = list(islice(random_orders(1), 50))


def of_contract(_form: object) -> Contract:
    return Contract()


@pytest.fixture(scope="module")
def made() -> list[Way]:
    return ways([contract_format(kind) for kind in KINDS], ORDERS, of_contract)


@pytest.fixture(scope="module")
def found(made: list[Way]) -> Comparison:
    stored = {way.name: {"none": 90.5, "lz4": 40.0, "zstd": 20.25} for way in made}
    return compare(made, 2, (1000, stored), lambda: None, evolution=True)


def test_what_tells_the_format_is_counted(made: list[Way]) -> None:
    """A content type's name and value; a zero, four bytes of the id, and Protobuf's place of the message."""
    told = {kind: len("content-type" + f"application/{kind}") for kind in ("json", "protobuf")}
    assert {way.name: way.head_bytes for way in made} == {
        "avro": 0, "json": told["json"], "protobuf": told["protobuf"],
        "avro, framed": 5, "json, framed": 5, "protobuf, framed": 6,
    }  # fmt: skip
    for way in made:
        assert [way.read(way.encode(order))[1] for order in ORDERS] == [order["product"] for order in ORDERS]


def test_own_schemas_are_compared_with_exact_prices() -> None:
    """Numbers of a sample become decimals where a schema takes no others."""
    order = {"ref": "a", "shop": {"city": "Bern"}, "total": {"amount": 4.25}}
    forms = [make_format("avro", SALES["avro"]), make_format("json", SALES["json"])]
    made = ways(forms, [order], lambda form: Contract.of(form.fields, "ref", "total.amount", "shop.city"))
    assert {way.read(way.encode(way.orders[0]))[1:] for way in made} == {("Bern", 4.25)}
    assert {what for what, _ in spoilt.orders(made[0].contract, order)} >= {"total.amount is null", "no shop.city"}


def test_wrong_decimals_are_wrong_as_numbers_not_as_floats() -> None:
    """A negative price that is a decimal is written, and dies when it is validated."""
    rows = [
        {"ref": "a", "shop": {"city": "Bern"}},
        {"ref": "b", "shop": {"city": "Bern"}, "total": {"amount": 4}},
        {"ref": "c", "shop": {"city": "Bern"}, "total": {"amount": 4.5}},
    ]
    schema = make_format("avro", SALES["avro"])
    contract = Contract.of(schema.fields, "ref", "total.amount", "shop.city")
    way, framed = ways([schema], rows[1:], lambda _form: contract)
    assert [framed.read(framed.encode(order))[2] for order in framed.orders] == [4.0, 4.5]
    ends = {what: spoilt.written(way, order).stage for what, order in spoilt.orders(contract, way.orders[0])}
    assert (ends["total.amount is -1"], ends["total.amount is a word"]) == ("validate", "write")


def test_an_order_that_is_none_is_told_by_its_number() -> None:
    """And by the format that does not take it."""
    with pytest.raises(SettingsError, match=r"order 2 of the sample, as avro: .*product"):
        ways([contract_format("avro")], [ORDERS[0], {"orderId": "x", "price": 1.0}], of_contract)
    with pytest.raises(SettingsError, match="order 1 of the sample, as json"):
        ways([contract_format("json")], [{**ORDERS[0], "price": "much"}], of_contract)


def test_who_does_twice_the_work_takes_longer(made: list[Way]) -> None:
    """Ratios within one run, each round against the first way of the same round."""
    first = made[0]
    slow = Way("slow", first.form, first.contract, lambda one: b"".join(first.encode(one) for _ in range(9))[:27],
               first.read, [], ORDERS)  # fmt: skip
    rounds: list[int] = []
    told = speed.measure([first, slow], 3, lambda: rounds.append(1))
    assert len(rounds) == 3
    assert told["avro"][0][:3] == (1, 1, 1)
    assert told["slow"][0].least <= told["slow"][0].median <= told["slow"][0].most
    assert told["slow"][0].median > 3
    assert told["slow"][1].median < 3, "it reads as the first does"


def test_where_wrong_orders_end(found: Comparison) -> None:
    """Found by giving them: some facts of the formats that nothing here computes."""
    rows = {row["what"]: row for row in found.wrong}
    assert rows["price is a word"] == {
        "what": "price is a word",
        "avro": "write",
        "json": "write",
        "protobuf": "write",
    }
    assert rows["no product"]["protobuf"] == "validate", "proto3 has no field that must be there"
    assert rows["price is -1"] == {
        "what": "price is -1",
        "avro": "validate",
        "json": "write",
        "protobuf": "validate",
    }
    assert rows["an order in json, told as avro"] == {
        "what": "an order in json, told as avro", "avro": "decode", "json": "-", "protobuf": "-"}  # fmt: skip
    told = {(row["way"], row["stage"]) for row in found.examples if row["message"]}
    assert told >= {("avro", "write"), ("avro", "decode"), ("avro", "validate"), ("json", "decode")}


def test_damage_is_shared_out(found: Comparison) -> None:
    """Refused, counted wrong or counted; JSON, whose digits and quotes are text, notices most."""
    shares = {row["way"]: row for row in found.damage}
    assert all(abs(sum(list(row.values())[1:]) - 1) < 1e-9 for row in found.damage)
    assert shares["json"]["refused"] > max(shares["avro"]["refused"], shares["protobuf"]["refused"])
    assert all(0 < row["counted wrong"] < 1 for row in found.damage)


APPLIED = [(change, kind) for change in evolving.CHANGES for kind in change.texts]


@pytest.mark.parametrize(("change", "kind"), APPLIED, ids=lambda one: getattr(one, "name", one))
def test_a_change_changes_something_and_is_judged_as_schema_check_does(change, kind) -> None:
    """What `schema check` lets pass is read; what is counted wrong, it does not let pass."""
    old, new = contract_format(kind).text, change.text(kind)
    assert new != old
    needed = ("price", change.group_by)
    told = changes(kind, Source(old), Source(new), needed)
    passes = not any(one.new_reads_old for one in told), not any(one.old_reads_new for one in told)
    way = "avro, framed" if kind == "avro" else kind
    for direction, lets in zip(evolving.DIRECTIONS, passes, strict=True):
        outcome = evolving.outcomes(change)[direction][way]
        assert outcome == "read" or not lets, (direction, outcome)
        if outcome == "COUNTED WRONG":
            assert not lets


def test_raw_avro_takes_one_field_for_another(found: Comparison) -> None:
    """Bytes without names, read by another schema: the reason for a registry."""
    rows = {(row["change"], row["who"]): row for row in found.changes}
    swapped = rows["orderId stands behind product", "old consumers, new orders"]
    assert (swapped["avro"], swapped["avro, framed"], swapped["json"]) == ("COUNTED WRONG", "read", "read")
    assert rows["orderId and product swap their numbers", "new consumers, old orders"] == {
        "change": "orderId and product swap their numbers", "who": "new consumers, old orders",
        "avro": "-", "avro, framed": "-", "json": "-", "protobuf": "COUNTED WRONG"}  # fmt: skip


def test_page_and_tables_say_what_was_measured(found: Comparison) -> None:
    """Each figure; the chart; no table where nothing was measured."""
    text = page.render(found, "chart.svg")
    assert "![bytes and time per order of each format](chart.svg)" in text
    for row in found.sizes:
        assert (
            f"| {row['way']} | {row['value']:.1f} | {row['head']} | 90.5 | 40.0 | 20.2 | {row['write']:.2f} ("
            in text
        )
    assert "batches have 1,000 orders" in text
    for row in found.examples:
        assert row["message"].replace("`", "").replace("|", "\\|") in text
    without = Comparison({**found.about, "batch": None}, found.sizes, found.wrong, found.damage)
    assert "On disk" not in page.render(without)
    assert "What a change" not in page.render(without)
    assert page.rounded(without)["what a change of the schema breaks"] == []
    json.dumps(found.sizes)


@pytest.mark.parametrize("ending", chart.ENDINGS)
def test_a_chart_is_the_same_for_the_same_figures(found: Comparison, tmp_path: Path, ending: str) -> None:
    """As PNG and as SVG."""
    pytest.importorskip("matplotlib")
    files = [tmp_path / f"{number}{ending}" for number in range(2)]
    for file in files:
        chart.draw(found, file)
    first, second = (file.read_bytes() for file in files)
    assert first == second
    assert first.startswith({".png": b"\x89PNG", ".svg": b"<?xml"}[ending])
    with pytest.raises(SettingsError, match="cannot be written"):
        chart.draw(found, tmp_path / "none" / f"a{ending}")


def test_without_matplotlib_it_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is measured, and what to install."""
    monkeypatch.setattr(chart, "find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match=r"pip install 'kafka-orders\[chart\]'"):
        chart.require_matplotlib()
