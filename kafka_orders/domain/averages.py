"""Exact running averages: tallies that merge in any order to the same figures.

A sum is kept as an *expansion*: doubles whose exact sum is the total, largest first. The
expansion of a total is unique (each part is the total so far, correctly rounded), so two
tallies of the same values are equal, whatever the order and the grouping in which the
values arrived (``tests/unit/test_averages.py`` holds that law).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import MAX_PREC, Context, Decimal, localcontext
from math import fsum
from typing import NamedTuple

#: Values at or above this are refused by validation, so that no sum of them can overflow a double.
LARGEST_VALUE = 2.0**900
#: Digits of the largest sum, and some behind the point.
_DIGITS = 400


def exact_sum(values: Iterable[float]) -> tuple[float, ...]:
    """Return the expansion of the exact sum of ``values``; ``()`` is zero.

    ``math.fsum`` is correctly rounded, so what it leaves over is itself an exact sum of doubles:
    take the rounded sum, subtract it, and repeat until nothing is left. For prices one pass
    is the rule, since the sum of a few million float32 prices fits a double.
    """
    rest = list(values)
    parts: list[float] = []
    while (part := fsum(rest)) != 0.0:
        parts.append(part)
        rest.append(-part)
    return tuple(parts)


class Tally(NamedTuple):
    """Count, exact sum, minimum and maximum of some values (all 0 when there are none)."""

    count: int = 0  # type: ignore[assignment]  # nobody counts the fields of a tally
    sum: tuple[float, ...] = ()
    min: float = 0.0
    max: float = 0.0

    @property
    def total(self) -> float:
        """The sum, correctly rounded to one double."""
        return fsum(self.sum)

    @property
    def average(self) -> float:
        """The mean value; 0.0 for an empty tally."""
        return self.total / self.count if self.count else 0.0

    def decimal(self, scale: int) -> Decimal:
        """Return the sum of decimal numbers with ``scale`` digits behind the point, as decimals add up.

        Each was counted as the double next to it, less than 2**-53 of itself away, so the rounded sum is the exact
        one while it has at most 15 digits (``tests/unit/test_own_schemas.py``).
        """
        with localcontext() as context:
            context.prec = MAX_PREC  # as many digits as the parts have
            exact = sum(map(Decimal, self.sum), Decimal())
        return exact.quantize(Decimal(1).scaleb(-scale), context=Context(prec=_DIGITS))

    def add(self, values: Sequence[float]) -> Tally:
        """Return this tally with ``values`` counted."""
        return self.merge(tally(values)) if values else self

    def merge(self, other: Tally) -> Tally:
        """Return the tally of both; associative and commutative."""
        return merge_all((self, other))


EMPTY = Tally()


def tally(values: Sequence[float]) -> Tally:
    """Return the tally of ``values``."""
    if not values:
        return EMPTY
    return Tally(len(values), exact_sum(values), min(values), max(values))


def merge_all(tallies: Iterable[Tally]) -> Tally:
    """Return the tally of all: one pass over the parts, for the overall running average."""
    present = [one for one in tallies if one.count]
    if not present:
        return EMPTY
    return Tally(
        sum(one.count for one in present),
        exact_sum(part for one in present for part in one.sum),
        min(one.min for one in present),
        max(one.max for one in present),
    )
