"""Exact averages: the same figures whatever the order, the grouping and the merging."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from kafka_orders.domain.averages import EMPTY, Tally, exact_sum, merge_all, tally

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
