"""Dead letters of orders with a schema of the user's own: flags name it, nested fields are read and repaired."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from kafka_orders.formats.base import Format
from kafka_orders.formats.choice import open_format
from kafka_orders.pipeline import upkeep
from tests.support.deadletters import accept, statuses, work
from tests.support.pipeline import Pipeline

pytestmark = pytest.mark.broker

HINT = "cannot be read with these settings; is --schema, --format or --registry-url missing?"
FIELDS = {"value_field": "total.amount", "group_by": "shop.city", "id_field": "id"}


def record(name: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": fields}


DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
AVRO = record("Sale", [
    {"name": "id", "type": "string"},
    {"name": "shop", "type": record("Shop", [{"name": "city", "type": "string"}, {"name": "zip", "type": "int"}])},
    {"name": "total", "type": record("Total", [
        {"name": "amount", "type": DECIMAL}, {"name": "currency", "type": "string"}])},
])  # fmt: skip
JSON = {"properties": {
    "id": {"type": "string"}, "shop": {"properties": {"city": {"type": "string"}, "zip": {"type": "integer"}}},
    "total": {"properties": {"amount": {"type": "number", "minimum": 0}, "currency": {"type": "string"}}},
}}  # fmt: skip


def sold(line: Pipeline, file: Path, payloads: list[bytes]) -> tuple[list[str], str]:
    """Have sales handled by the pipeline of their schema, whose settings are gone then.

    Returns the flags that tell of them, and the id of the one that died.
    """
    line.extra = {"SCHEMA": str(file), **{name.upper(): value for name, value in FIELDS.items()}}
    settings = line.settings()
    upkeep.create(settings, lambda _: None)
    client = Producer({"bootstrap.servers": line.bootstrap})
    for payload in payloads:
        client.produce(settings.topic, payload, b"key")
    client.flush()
    work(line, accept, "main")
    line.extra = {}
    fields = [word for name, value in FIELDS.items() for word in ("--" + name.replace("_", "-"), value)]
    flags = ["--schema", str(file), *fields]
    (row,) = rows(line, "list", *flags)
    return flags, row["id"]


def sale(format_: Format, number: int, amount: str) -> bytes:
    shop, total = {"city": "Bern", "zip": 3000}, {"amount": amount, "currency": "EUR"}
    if format_.kind == "json":
        total["amount"] = float(amount)  # type: ignore[assignment]
        return json.dumps({"id": str(number), "shop": shop, "total": total}).encode()
    return format_.encode({"id": str(number), "shop": shop, "total": total})


def rows(line: Pipeline, *words: str) -> list[dict[str, Any]]:
    done = line.run("dlq", *words, "-o", "jsonl")
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(row) for row in done.stdout.splitlines()]


def test_every_command_takes_the_schema_by_flags(line: Pipeline, tmp_path: Path) -> None:
    """Nested fields have dotted paths; without the flags it is asked for them."""
    file = tmp_path / "sale.avsc"
    file.write_text(json.dumps(AVRO))
    made = open_format(str(file), "")
    flags, name = sold(line, file, [sale(made, 1, "3.00"), sale(made, 2, "-5.00")])
    assert rows(line, "list", *flags)[0]["product"] == "Bern"
    assert rows(line, "show", name, *flags)[0]["payload"]["fields"]["total"]["amount"] == "-5.00"
    shown = line.run("dlq", "show", name, *flags)
    assert "shop.city=Bern  shop.zip=3000  total.amount=-5.00  total.currency=EUR" in shown.stdout
    assert HINT not in shown.stderr
    for words in (
        ("list", "--product", "Bern"), ("groups",), ("stats",), ("replay", "--dry-run"),
        ("discard", "--id", name, "--reason", "x"), ("restore", "--id", name),
    ):  # fmt: skip
        assert rows(line, *words, *flags), words
    exported = line.run("dlq", "export", "-", *flags)
    assert json.loads(exported.stdout)["readable"]["order"]["total.amount"] == "-5.00", exported.stderr
    averages = line.run("averages", *flags, "--registry-url", "http://127.0.0.1:1", "-o", "jsonl")
    assert json.loads(averages.stdout.splitlines()[0])["average"] == 3.0, averages.stderr
    for words in (("list",), ("show", name)):
        assert line.run("dlq", *words).stderr.count(HINT) == 1
        assert HINT not in line.run("dlq", *words, "-o", "json").stderr
    judged = line.run("verify", "--deep")
    assert (judged.returncode, f"1 that should be counted {HINT}" in judged.stdout) == (5, True), judged
    assert line.run("verify", "--deep", *flags).returncode == 0


@pytest.mark.parametrize("kind", ["avsc", "json"])
def test_a_nested_amount_is_repaired(line: Pipeline, tmp_path: Path, kind: str) -> None:
    """An Avro decimal that cannot be counted, and JSON that its schema refuses; by one expression."""
    file = tmp_path / f"sale.{kind}"
    file.write_text(json.dumps(AVRO if kind == "avsc" else JSON))
    made = open_format(str(file), "")
    flags, name = sold(line, file, [sale(made, 1, "3"), sale(made, 2, "-5")])
    words = ("edit", "--id", name, *flags, "--set")
    refused = line.run("dlq", *words, "total.amount=total.amount - 1", "--yes")
    assert (refused.returncode, "nothing was changed" in refused.stderr) == (1, True)
    shown = line.run("dlq", *words, "total.amount=5", "--dry-run").stderr
    assert "total.amount: -5.0" in shown
    assert "Decimal(" not in shown
    assert rows(line, *words, "total.amount=abs(total.amount)", "--yes")[0]["sent"] == 1
    line.extra = {"SCHEMA": str(file), **{name.upper(): value for name, value in FIELDS.items()}}
    work(line, accept, "retry")
    assert statuses(line) == {"resolved": 1}
    assert line.run("verify", "--deep").returncode == 0
