"""The comparison as a page in Markdown: every figure from the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kafka_orders.comparison.compare import Comparison

_READ = {"counted": "counted", "write": "not written", "decode": "dead: decode", "validate": "dead: validate"}


def rounded(found: Comparison) -> dict[str, list[dict[str, str]]]:
    """Return the tables for people, by their titles; those of which nothing was measured are empty."""
    return {
        f"bytes per order, and time as a multiple of {found.about['first']}'s": _sizes(found.sizes),
        "where wrong orders and bytes end": _wrong(found.wrong),
        "when one byte of an order is another one": _damage(found.damage),
        "what a change of the schema breaks": found.changes,
    }


def render(found: Comparison, chart: str = "") -> str:
    """Return the page; ``chart`` is the address of its picture."""
    parts = [
        "# Avro, JSON and Protobuf compared", _about(found.about),
        *([f"![bytes and time per order of each format]({chart})"] if chart else []),
        "## Bytes and time", _sizes_said(found.about), _table(_sizes(found.sizes)),
        "## What is noticed", _NOTICED, _table(_wrong(found.wrong)), _DAMAGED, _table(_damage(found.damage)),
    ]  # fmt: skip
    if found.examples:
        parts += ["### In their words", _table(_examples(found.examples))]
    if found.changes:
        parts += ["## What a change of the schema breaks", _CHANGES, _table(found.changes)]
    return "\n\n".join(parts) + "\n"


_NOTICED = """\
Wrong orders are given to our producer, wrong bytes to a consumer. *not written*: the producer refuses the order,
nothing is sent. *dead*: it becomes a dead letter of this stage. *counted*: nobody notices."""
_DAMAGED = """\
Each byte of some orders is replaced by another one, one at a time. No format has a checksum (Kafka's batches
do); what is not refused is counted, some of it with another product or price:"""
_CHANGES = """\
Orders are written by one schema and read by the other. Raw Avro says nothing of its writer's schema; the frame
of a schema registry does. *decode*, *validate*: a dead letter of this stage. *COUNTED WRONG*: it is counted with
another product or price, and nobody notices. `schema check` tells before."""


def _about(about: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    return (
        f"Made by `schema compare` on {about['date']}: {about['machine']}, Python {about['python']}; {packages}."
        f" {about['orders']:,} orders, the same in each format; times are medians of {about['rounds']} rounds of"
        " one run, in each of which all have their turn."
    )


def _sizes_said(about: Mapping[str, Any]) -> str:
    said = (
        "*Value* is the order alone. What tells its format is the header `content-type` of raw JSON and Protobuf"
        " (raw Avro has none), or the frame of a schema registry. Times are multiples of the time with"
        f" {about['first']}, with their range; reading is to decode and to validate, as the workers of"
        " kafka-orders do: flat Avro by functions compiled from its schema, JSON by orjson and jsonschema-rs,"
        " Protobuf by Google's library. Writing JSON includes to read it back, since that is how it is checked."
    )
    if about["batch"]:
        said += (
            f" *On disk* is a broker's segment with key, headers and all, per order, where batches have"
            f" {about['batch']:,} orders."
        )
    return said


def _sizes(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    return [
        {
            "": row["way"], "value, bytes": f"{row['value']:.1f}", "what tells its format": f"{row['head']}",
            **{name.replace("stored", "on disk,"): f"{one:.1f}" for name, one in row.items() if "stored" in name},
            **{f"time to {name}": f"{row[name]:.2f} ({row[f'{name} from']:.2f} to {row[f'{name} to']:.2f})"
               for name in ("write", "read")},
        }
        for row in rows
    ]  # fmt: skip


def _wrong(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    return [{name: _READ.get(value, value) for name, value in row.items()} for row in rows]


def _damage(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    return [{name: value if name == "way" else f"{value:.0%}" for name, value in row.items()} for row in rows]


def _examples(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    return [
        {**row, "stage": _READ[row["stage"]], "message": f"`{row['message'].replace('`', '')}`"} for row in rows
    ]


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    lines = [" | ".join(rows[0]), " | ".join("---" for _ in rows[0])]
    lines += [" | ".join(str(value).replace("|", "\\|") for value in row.values()) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)
