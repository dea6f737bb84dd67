"""When a worker that died is started again: a pure decision."""

import pytest

from kafka_orders.stage.supervisor import Worker, fate


def test_deaths_in_a_row_wait_longer_and_then_end_all() -> None:
    """1, 2, 4, 8, 16 seconds; the sixth in a row is no accident."""
    worker = Worker("consume-1", born=100.0)
    assert [fate(worker, -9, 101.0) for _ in range(7)] == [1, 2, 4, 8, 16, None, None]


def test_a_worker_that_lived_starts_with_a_clean_record() -> None:
    """A minute without a death forgets the earlier ones."""
    worker = Worker("consume-1", born=100.0, deaths=5)
    assert fate(worker, 1, 160.0) == 1


@pytest.mark.parametrize("code", [2, 3, 4])
def test_what_a_restart_cannot_mend_ends_all(code) -> None:
    """Usage, no broker, refused: the next start would end the same way."""
    assert fate(Worker("consume-1"), code, 1_000.0) is None


def test_a_broker_that_is_away_for_a_while_ends_none() -> None:
    """A worker that is restarted into an outage waits with the others."""
    worker = Worker("consume-1", starts=2)
    assert [fate(worker, 3, 1_000.0) for _ in range(9)] == [1.0] * 9


@pytest.mark.parametrize("code", [0, 1, 130, -9, -15])
def test_every_other_end_is_a_death(code) -> None:
    """Also a clean one that nobody asked the supervisor for."""
    assert fate(Worker("consume-1"), code, 1_000.0) == 1
