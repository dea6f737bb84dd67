"""The comparison as a whole: which parts are run, and the rows that they give."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from kafka_orders.comparison import evolving, speed, spoilt
from kafka_orders.comparison.speed import Ratio
from kafka_orders.comparison.ways import Way

Rows = list[dict[str, Any]]
Stored = Mapping[str, Mapping[str, float]]
#: Who reads and writes the formats.
_PACKAGES = ("fastavro", "orjson", "jsonschema-rs", "protobuf", "confluent-kafka")
_SEED = 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that was measured: ``about`` the run, and rows of four tables, one for each way, error or change.

    ``sizes``: bytes per order and times as ratios to the first way. ``wrong``: where wrong orders and bytes end.
    ``damage``: shares of damaged orders. ``changes``: what readers make of orders across a change of the schema.
    ``examples``: messages of the errors, by format and stage.
    """

    about: dict[str, Any]
    sizes: Rows
    wrong: Rows
    damage: Rows
    changes: Rows = field(default_factory=list)
    examples: Rows = field(default_factory=list)


def compare(
    ways: Sequence[Way],
    rounds: int,
    stored: tuple[int, Stored] | None,
    done: Callable[[], None],
    *,
    evolution: bool,
) -> Comparison:
    """Measure, and return what was found.

    Args:
        ways: raw and framed, the one that others are compared with first.
        rounds: how often each is timed.
        stored: orders in a batch, and bytes on a broker's disk by way and compression; None: not measured.
        done: told after each round.
        evolution: the ways are the order contract's, so its changes are looked at, too.
    """
    times = speed.measure(ways, rounds, done)
    raw = [one for one in ways if one.name == one.form.kind]
    wrong, examples = _wrong(raw)
    return Comparison(
        _about(ways, rounds, stored),
        [_sizes(one, times[one.name], stored[1][one.name] if stored else {}) for one in ways],
        wrong,
        [_damage(one) for one in raw],
        _changes() if evolution else [],
        examples,
    )


def _about(ways: Sequence[Way], rounds: int, stored: tuple[int, Stored] | None) -> dict[str, Any]:
    return {
        "orders": len(ways[0].orders), "rounds": rounds, "first": ways[0].name,
        "batch": stored[0] if stored else None,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()}, {platform.machine()}, {os.cpu_count()} CPUs",
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }  # fmt: skip


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _sizes(way: Way, times: tuple[Ratio, Ratio], stored: Mapping[str, float]) -> dict[str, Any]:
    value = statistics.fmean(len(way.form.encode(order)) for order in way.orders)
    row = {"way": way.name, "value": value, "head": way.head_bytes}
    row |= {f"stored {codec}": found for codec, found in stored.items()}
    for name, ratio in zip(("write", "read"), times, strict=True):
        row |= {name: ratio.median, f"{name} from": ratio.least, f"{name} to": ratio.most, f"{name} us": ratio.us}
    return row


def _wrong(raw: Sequence[Way]) -> tuple[Rows, Rows]:
    """Return where each wrong order ends by format; and of each format an error of each stage."""
    rows: dict[str, dict[str, Any]] = {}
    examples: dict[tuple[str, str], dict[str, Any]] = {}
    for way in raw:
        given = [(what, spoilt.written(way, order)) for what, order in spoilt.orders(way.contract, way.orders[0])]
        given += [(what, spoilt.read(way, payload)) for what, payload in spoilt.payloads(way, raw)]
        for what, outcome in given:
            row = rows.setdefault(what, {"what": what, **{one.name: "-" for one in raw}})
            row[way.name] = outcome.stage
            if outcome.message:
                told = {"way": way.name, "what": what, "stage": outcome.stage, "message": outcome.message}
                examples.setdefault((way.name, outcome.stage), told)
    return list(rows.values()), list(examples.values())


def _damage(way: Way) -> dict[str, Any]:
    found = spoilt.damaged(way, _SEED)
    counted = 1 - found.refused - found.counted_wrong
    return {"way": way.name, "refused": found.refused, "counted wrong": found.counted_wrong, "counted": counted}


def _changes() -> Rows:
    return [
        {"change": change.name, "who": direction, **found}
        for change in evolving.CHANGES
        for direction, found in evolving.outcomes(change).items()
    ]
