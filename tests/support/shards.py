"""The shards of one source partition as its changelog tells them, read without the product's code.

``orders/3/Item2`` and each product of ``orders/3#block-0`` are whole; ``orders/3#delta-0`` adds values that no
whole shard contains yet, which its offsets tell.
"""

from __future__ import annotations

import json
import struct
from base64 import b64decode
from collections.abc import Iterable
from fractions import Fraction
from typing import Any


class ShardsOf:
    """Feed all records of one slot in the order of the log, then ask for what is :attr:`held`."""

    def __init__(self, slot: str) -> None:
        self.slot = slot
        self._wholes: dict[str, tuple[int, int, Fraction]] = {}
        self._deltas: list[dict[str, Any]] = []
        self.back: list[str] = []

    def feed(self, key: str, value: dict[str, Any]) -> None:
        """Feed a record of any kind."""
        if key.startswith(f"{self.slot}/"):
            parts = value["sum"] if isinstance(value["sum"], list) else [value["sum"]]
            product = key.removeprefix(f"{self.slot}/")
            if value["count"] <= self._wholes.get(product, (0, 0, 0))[1]:
                self.back.append(key)
            self._whole(product, value.get("next_offset", 0), value["count"], parts)
        elif key.startswith(f"{self.slot}#block-"):
            held, at, names = b64decode(value["shards"]), 0, value["products"]
            for product, parts in zip(names, value["parts"] or [1] * len(names), strict=True):
                next_offset, count, _, _, *total = struct.unpack_from(f"<qqdd{parts}d", held, at)
                at += 32 + 8 * parts
                self._whole(product, next_offset, count, total)
        elif key.startswith(f"{self.slot}#delta-"):
            self._deltas.append(value)

    def _whole(self, product: str, next_offset: int, count: int, parts: list[float]) -> None:
        if next_offset >= self._wholes.get(product, (0,))[0]:
            self._wholes[product] = (next_offset, count, sum(map(Fraction, parts), Fraction(0)))

    @property
    def held(self) -> dict[str, tuple[int, int, Fraction]]:
        """Each product's next_offset, count and exact sum. A block may stand behind deltas it does not contain."""
        held = dict(self._wholes)
        for delta in sorted(self._deltas, key=lambda one: one["from"]):
            products, sizes, figures = delta["products"], delta["counts"], b64decode(delta["values"])
            each = iter(struct.unpack(f"<{len(figures) // 8}d", figures))
            names = products.split("\n") if isinstance(products, str) else products
            for product, number in zip(names, b64decode(sizes) if isinstance(sizes, str) else sizes, strict=True):
                values = [Fraction(next(each)) for _ in range(number)]
                next_offset, count, total = held.get(product, (0, 0, Fraction(0)))
                if delta["from"] >= next_offset:
                    held[product] = (delta["next_offset"], count + number, total + sum(values, Fraction(0)))
        return held


def slot_of(key: str) -> str:
    """Return the slot a key belongs to."""
    topic, rest = key.split("/", 1)
    return f"{topic}/{rest.split('/', 1)[0].split('#', 1)[0]}"


def read_shards(records: Iterable[tuple[bytes | None, bytes | None]]) -> dict[str, ShardsOf]:
    """Return the shards of each slot, from all keys and values of a changelog."""
    found: dict[str, ShardsOf] = {}
    for key, value in records:
        name = (key or b"").decode()
        found.setdefault(slot_of(name), ShardsOf(slot_of(name))).feed(name, json.loads(value or b"null"))
    return found
