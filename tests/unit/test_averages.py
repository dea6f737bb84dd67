"""Exact averages: the same figures whatever the order, the grouping and the merging."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from kafka_orders.domain.averages import EMPTY, LARGEST_VALUE, Tally, exact_sum, merge_all, tally

prices = st.floats(min_value=0, max_value=1e30, allow_nan=False)
values = st.lists(prices, max_size=40)


@given(values, st.randoms())
def test_the_expansion_of_a_sum_does_not_depend_on_order(found, chance) -> None:
    """Shuffled values give the same parts."""
    shuffled = list(found)
    chance.shuffle(shuffled)
    assert exact_sum(shuffled) == exact_sum(found)


@given(values)
def test_the_expansion_is_exact(found) -> None:
    """The parts add up to the rational sum, without any rounding."""
    assert sum(map(Fraction, exact_sum(found)), Fraction(0)) == sum(map(Fraction, found), Fraction(0))


@given(values, values, values)
def test_merging_is_associative_and_commutative(one, two, three) -> None:
    """Any grouping of the same values is the same tally."""
    together = tally(one + two + three)
    assert tally(one).merge(tally(two)).merge(tally(three)) == together
    assert tally(three).merge(tally(one).merge(tally(two))) == together
    assert merge_all([tally(two), tally(three), tally(one)]) == together


def test_a_float32_price_is_not_rounded_to_cents() -> None:
    """49.99 as float32 counts as 49.9900016784668."""
    assert tally([49.9900016784668] * 3).average == 49.9900016784668


def test_small_values_survive_large_ones() -> None:
    """What a plain float sum would swallow stays in the expansion."""
    assert tally([1e30, 1.0, 1e30]).sum == exact_sum([1.0, 2e30])
    assert len(tally([1e30, 1.0]).sum) == 2


def test_an_empty_tally_has_no_average() -> None:
    """Nothing counted is 0, and merges away."""
    assert (EMPTY.average, EMPTY.merge(tally([2.0])), merge_all([])) == (0.0, tally([2.0]), EMPTY)
    assert tally([3.0, 1.0]) == Tally(2, (4.0,), 1.0, 3.0)


wide = st.lists(st.floats(min_value=0, max_value=LARGEST_VALUE, exclude_max=True), max_size=20)


@given(st.lists(wide, max_size=5), st.randoms())
def test_the_expansion_does_not_depend_on_grouping(groups, chance) -> None:
    """Sums of sums, from subnormal to the largest value, have the parts of the sum of all."""
    together = exact_sum(value for group in groups for value in group)
    parts = [part for group in groups for part in exact_sum(group)]
    chance.shuffle(parts)
    assert exact_sum(parts) == together
    assert sum(map(Fraction, together), Fraction(0)) == sum(
        (Fraction(value) for group in groups for value in group), Fraction(0)
    )


@given(wide)
def test_each_part_is_the_rest_correctly_rounded(found) -> None:
    """That makes the expansion unique: Fraction's own rounding gives the same parts."""
    rest, expected = sum(map(Fraction, found), Fraction(0)), []
    while part := float(rest):
        expected.append(part)
        rest -= Fraction(part)
    assert list(exact_sum(found)) == expected


@given(values, values)
def test_adding_is_merging(one, two) -> None:
    """Values counted one batch after the other are the tally of all."""
    assert tally(one).add(two) == tally(one + two)
    assert tally(one).add([]) == tally(one)


@given(st.lists(prices, min_size=1, max_size=20))
def test_the_average_is_the_rational_mean(found) -> None:
    """Within one rounding of the sum and one of the division."""
    exact = sum(map(Fraction, found), Fraction(0)) / len(found)
    counted = tally(found)
    assert abs(Fraction(counted.average) - exact) <= exact * Fraction(1, 2**51) + Fraction(5e-324)
    assert (counted.count, counted.min, counted.max) == (len(found), min(found), max(found))


def test_a_million_of_the_largest_values_do_not_overflow() -> None:
    """What validation lets through can be summed."""
    largest = LARGEST_VALUE * (1 - 2**-53)
    many = merge_all([Tally(1_000_000, exact_sum([largest * 2**20]), largest, largest)] * 1000)
    assert 0 < many.average < float("inf")


def test_merging_keeps_extremes_and_ignores_empties() -> None:
    """The zero of an empty tally is not a minimum."""
    low, high = tally([5.0, 7.0]), tally([6.0, 9.0])
    assert (low.merge(high).min, low.merge(high).max, low.merge(high).count) == (5.0, 9.0, 4)
    assert EMPTY.merge(low) == low.merge(EMPTY) == merge_all([EMPTY, low, EMPTY]) == low
    assert merge_all([low, high]) == Tally(4, (27.0,), 5.0, 9.0)
