"""The sizing rule: laws of the simulated worker."""

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sizing import FULL_SECONDS, LIGHT_SECONDS, MOST, Cost, machine_most, processes, simulate

COST = Cost(1.4e-6, 0.01)


def test_under_light_load_latency_is_the_gathering_and_the_transaction() -> None:
    """Half of the gathering in the median, all of it at worst, and the transaction before it."""
    one = simulate(1_000, COST)
    cycle = (LIGHT_SECONDS + COST.transaction) * 1000
    assert one.keeps_up
    assert cycle / 2 < one.p50_ms <= cycle
    assert cycle <= one.p99_ms + 1 < 2 * cycle
    assert one.batch < 40


def test_on_a_backlog_batches_are_full() -> None:
    """As many as are allowed, and no more orders than it can do."""
    one = simulate(5_000_000, COST, 5)
    assert not one.keeps_up
    assert 0.99 * MOST < one.batch <= MOST
    assert MOST * COST.order < FULL_SECONDS


@given(st.floats(1, 5e6), st.floats(5e-7, 1e-4), st.floats(1e-3, 0.1))
def test_the_planned_processes_keep_up(rate, order, transaction) -> None:
    """Whatever an order and a transaction cost."""
    cost = Cost(order, transaction)
    assert simulate(rate / processes(rate, cost), cost, 3.0).keeps_up


def test_more_than_the_cores_can_do_is_told() -> None:
    """Worker and broker share them."""
    assert machine_most(2, 1.5e-6, 0.5e-6) == 1_000_000
