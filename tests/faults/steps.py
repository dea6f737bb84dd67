"""I3: the changelog's steps against what stands in the other topics (`checker.py`)."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import defaultdict

from confluent_kafka import Message

from tests.faults.findings import Hop, Place, Report
from tests.support.shards import ShardsOf, slot_of


class Steps:
    """I3: each version of a progress record against what stands in the other topics for its step."""

    def __init__(self, log: dict[Place, Message], counted: list[Hop], dead: list[Hop], retries: list[Hop]) -> None:
        self._handled: dict[tuple[str, str], list[int]] = defaultdict(list)
        places = {(hop.origin, hop.attempt, hop.replay): hop.at for hop in retries}
        kinds = {
            "processed": [(hop, hop.attempt) for hop in counted],
            "dead": [(hop, hop.attempt) for hop in dead],
            "retried": [(hop, hop.attempt - 1) for hop in retries if hop.attempt],  # else a replay, of the tools
        }
        for kind, hops in kinds.items():
            for hop, attempt in hops:
                is_first = not attempt and not hop.replay
                self._note(kind, hop.origin if is_first else places.get((hop.origin, attempt, hop.replay)))
        for place, message in log.items():
            if message.value() is None:
                self._note("skipped", place)
        for offsets in self._handled.values():
            offsets.sort()

    def _note(self, kind: str, source: Place | None) -> None:
        if source:
            self._handled[kind, f"{source[0]}/{source[1]}"].append(source[2])

    def check(self, report: Report, changelog: list[Message]) -> None:
        """Compare; the shards' counts of a slot have to add up to its processed orders at the end of each step."""
        before: dict[str, dict[str, int]] = {}
        shards: dict[str, ShardsOf] = {}
        back, uneven = [], []
        for message in changelog:
            key, value = (message.key() or b"").decode(), json.loads(message.value() or b"null")
            if key != (slot := slot_of(key)):
                shards.setdefault(slot, ShardsOf(slot)).feed(key, value)
                continue
            old = before.get(key) or dict.fromkeys(("next_offset", "processed", "dead", "retried", "skipped"), 0)
            back += [key] if value["next_offset"] < old["next_offset"] else []
            for kind in ("processed", "dead", "retried", "skipped"):
                written = self._between(kind, key, old["next_offset"], value["next_offset"])
                if value[kind] - old[kind] != written:
                    step = f"{old['next_offset']}-{value['next_offset']}"
                    uneven.append(f"{key} {step} {kind} {value[kind] - old[kind]} for {written}")
            before[key] = value
        report.problem("I3 the changelog goes back", back + [key for one in shards.values() for key in one.back])
        report.problem("I3 a step is not what its transaction wrote", uneven)
        sums = {slot: sum(count for _, count, _ in one.held.values()) for slot, one in shards.items()}
        report.problem(
            "I3 shards and progress differ",
            [one for one in before if before[one]["processed"] != sums.get(one, 0)],
        )

    def _between(self, kind: str, slot: str, start: int, end: int) -> int:
        offsets = self._handled[kind, slot]
        return bisect_left(offsets, end) - bisect_left(offsets, start)
