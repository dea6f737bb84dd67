"""Arithmetic of a run, pure: the order of a round, rates, ratios within a round, medians and ranges."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: What one run of a contender measured, as JSON has it.
Measure = Mapping[str, Any]
Round = Mapping[str, Measure]


def rotated(names: Sequence[str], number: int, rounds: int) -> list[str]:
    """Return the order of a round: each begins elsewhere, every second one goes backwards.

    So nobody always runs first, or always after the same one.
    """
    shift = number * len(names) // max(rounds, 1) % max(len(names), 1)
    order = [*names[shift:], *names[:shift]]
    return order[::-1] if number % 2 else order


@dataclass(frozen=True, slots=True)
class Figure:
    """A median with its range."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure | None:
        """Return the figure of some values; None where there are none."""
        held = sorted(values)
        return cls(statistics.median(held), held[0], held[-1]) if held else None


def rate(measure: Measure) -> float:
    """Return orders per second."""
    return float(measure["orders"] / measure["seconds"])


def process_cpu(measure: Measure) -> float:
    """Return microseconds of CPU per order, all threads of the process."""
    return float(measure["process_cpu"] / measure["orders"] * 1e6)


def thread_cpu(measure: Measure) -> float:
    """Return microseconds of CPU per order, the application's thread alone."""
    return float(measure["thread_cpu"] / measure["orders"] * 1e6)


def memory(measure: Measure) -> float:
    """Return the peak of resident memory in MB; 0 where the system does not tell."""
    return float(measure.get("memory_mb", 0))


def figure(rounds: Iterable[Round], name: str, value: Callable[[Measure], float]) -> Figure | None:
    """Return a value of one contender over the rounds in which it was measured."""
    return Figure.of(value(one[name]) for one in rounds if name in one)


def ratio(rounds: Iterable[Round], over: str, under: str, value: Callable[[Measure], float]) -> Figure | None:
    """Return the value of one contender by that of another: divided within each round, then the median."""
    return Figure.of(value(one[over]) / value(one[under]) for one in rounds if over in one and under in one)
