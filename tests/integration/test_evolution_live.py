"""Schemas change while orders flow: old producers and new consumers, and the reverse, in each format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kafka_orders.formats.base import KINDS, Kind
from kafka_orders.formats.choice import CONTRACT, contract_format
from tests.integration.test_registry import settled
from tests.support.pipeline import Pipeline
from tests.support.registry import Registry

pytestmark = pytest.mark.broker

HANDLER = "tests.integration.test_evolution_live:sees_currency"


def sees_currency(order: dict) -> None:
    """Refuse an order without the new field: it has its default, if nothing else."""
    assert order["currency"] in ("EUR", "")


def newer(kind: Kind, folder: Path, *, promoted: bool) -> Path:
    """Write the contract with one more field, which has a default, and perhaps a price of a wider type."""
    text = contract_format(kind).text
    if kind == "avro":
        plain = json.loads(text)
        plain["fields"].append({"name": "currency", "type": "string", "default": "EUR"})
        plain["fields"][2]["type"] = "double" if promoted else "float"
        text = json.dumps(plain)
    elif kind == "json":
        plain = json.loads(text)
        plain["properties"]["currency"] = {"type": "string", "default": "EUR"}
        text = json.dumps(plain)
    else:
        text = text.replace("price = 3;", "price = 3;\n  string currency = 4;")
    file = folder / CONTRACT[kind]
    file.write_text(text)
    return file


def run(line: Pipeline, kind: Kind, producers: list[str], consumer: str = "", *words: str) -> None:
    """Have producers send ten orders each, by their schemas, and a consumer count them all by its own."""
    main = line.start("-m", "kafka_orders", "consume", *words, FORMAT=kind, SCHEMA=consumer)
    main.says("restored")
    for schema in producers:
        done = line.run("produce", "--count", "10", "--rate", "0", FORMAT=kind, SCHEMA=schema)
        assert done.returncode == 0, done.stderr
    line.extra.update(FORMAT=kind, SCHEMA=consumer)
    assert settled(line, 10 * len(producers)).dead == 0
    assert main.stop() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_consumer_reads_old_and_new_orders(
    line: Pipeline, registry: Registry, tmp_path: Path, kind: Kind
) -> None:
    """A field added, with its default where it is missing; Avro's price promoted, by the registry's schemas."""
    if kind == "avro":
        line.extra["REGISTRY_URL"] = registry.url
    schema = str(newer(kind, tmp_path, promoted=True))
    run(line, kind, ["", schema], schema, "--handler", HANDLER)


@pytest.mark.parametrize("kind", KINDS)
def test_old_consumers_read_new_orders(line: Pipeline, registry: Registry, tmp_path: Path, kind: Kind) -> None:
    """What it does not know it passes over."""
    if kind == "avro":
        line.extra["REGISTRY_URL"] = registry.url
    run(line, kind, [str(newer(kind, tmp_path, promoted=False)), ""])


def test_without_a_registry_avro_needs_one_schema_for_all(line: Pipeline, tmp_path: Path) -> None:
    """The limit of raw Avro: an order of another schema does not decode; it is dead, and in no average."""
    main = line.start("-m", "kafka_orders", "consume")
    main.says("restored")
    schema = str(newer("avro", tmp_path, promoted=False))
    done = line.run("produce", "--count", "10", "--rate", "0", SCHEMA=schema)
    assert done.returncode == 0, done.stderr
    found = settled(line, 10)
    assert (found.counted, found.dead) == (0, 10)
    assert main.stop() == 0


def test_a_topic_of_all_three_formats_is_read_by_its_headers(line: Pipeline) -> None:
    """A migration: nobody has to stop, and no consumer guesses."""
    main = line.start("-m", "kafka_orders", "consume")
    main.says("restored")
    for kind in KINDS:
        assert line.run("produce", "--count", "10", "--rate", "0", FORMAT=kind).returncode == 0
    assert line.run("produce", "--count", "10", "--rate", "0", "--content-type", "always").returncode == 0
    found = settled(line, 40)
    assert (found.counted, found.dead) == (40, 0)
    assert main.stop() == 0
