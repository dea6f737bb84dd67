"""A whole run: orders, warm-up, rounds in rotated order; what it measured, as the JSON has it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import figures, machine, topics
from benchmarks.contenders import BY_NAME, FEW, OURS, RAW, Contender
from benchmarks.javabuild import build
from benchmarks.runner import Bed, WrongOutcomeError
from tests.support.registry import VERSION as APICURIO

#: Runs of the raw loop and ours before the first round: the JVM of a new broker compiles on the same cores.
WARM_UPS = 4

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run."""

    names: Sequence[str]
    orders: int
    rounds: int
    partitions: int = 6
    warm_ups: int = WARM_UPS
    #: Address of a schema registry, where framed orders are among them.
    registry: str = ""


def run(plan: Plan, bootstrap: str, folder: Path, tell: Tell) -> dict[str, Any]:
    """Run the plan on a broker; ``folder`` takes what is built. Errors of contenders are in the result."""
    bed = _bed(plan, bootstrap, folder, tell)
    found: dict[str, Any] = {
        "date": machine.today(),
        "machine": machine.describe(),
        "versions": machine.versions() | ({"Apicurio Registry": APICURIO} if plan.registry else {}),
        "orders": plan.orders,
        "few": min(FEW, plan.orders),
        "partitions": plan.partitions,
        "rounds": [],
        "errors": {},
    }
    try:
        for number in range(plan.warm_ups):
            for name in (RAW, OURS):
                tell(f"warm-up {number + 1}/{plan.warm_ups}: {_told(name, bed.run(BY_NAME[name]))}")
        for number in range(plan.rounds):
            found["rounds"].append(_round(plan, number, bed, found, tell))
    finally:
        topics.delete(bootstrap, [topic for topic, _ in bed.orders.values()])
    return found


def _bed(plan: Plan, bootstrap: str, folder: Path, tell: Tell) -> Bed:
    contenders = [BY_NAME[name] for name in plan.names]
    session = f"bench-{uuid.uuid4().hex[:6]}"
    jars = ""
    if any(one.module == "java" for one in contenders):
        tell("building the contenders in Java")
        jars = str(build(folder / "java", progress=False))
    orders = {}
    sources = {("avro", "avro", "")}
    sources |= {(one.source, one.form, plan.registry if one.framed else "") for one in contenders}
    for source, form, registry in sorted(sources):
        count = min(FEW, plan.orders) if source == "few" else plan.orders
        topic = f"{session}-{source}"
        tell(f"producing {count:,} orders, {source}")
        orders[source] = (topic, topics.fill(bootstrap, topic, count, plan.partitions, form, registry))
    return Bed(bootstrap, plan.partitions, session, orders, jars, plan.registry)


def _round(plan: Plan, number: int, bed: Bed, found: dict[str, Any], tell: Tell) -> dict[str, Any]:
    measures: dict[str, Any] = {}
    for name in figures.rotated(plan.names, number, plan.rounds):
        try:
            measure = bed.run(BY_NAME[name])
        except WrongOutcomeError as wrong:
            found["errors"].setdefault(name, str(wrong).splitlines()[0])
            tell(f"round {number + 1}/{plan.rounds}: ERROR {wrong}")
            continue
        _note(found["versions"], BY_NAME[name], measure.pop("versions", {}))
        measures[name] = measure
        tell(f"round {number + 1}/{plan.rounds}: {_told(name, measure)}")
    return measures


def _note(known: dict[str, str], contender: Contender, versions: dict[str, str]) -> None:
    """Note versions by package; where a contender has another one of a shared package, it is told with it."""
    for name, version in versions.items():
        if known.setdefault(name, version) != version:
            known[f"{name} (with {contender.title})"] = version


def _told(name: str, measure: figures.Measure) -> str:
    cpu, thread = figures.process_cpu(measure), figures.thread_cpu(measure)
    return f"{name:20} {figures.rate(measure):11,.0f} orders/s  CPU {cpu:7.2f} us, app thread {thread:6.2f} us"
