"""What is temporary, how long a retry waits, and where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_orders.domain.errors import PermanentError, RetryAfter, TemporaryError
from kafka_orders.domain.policy import LONGEST_DELAY_MS, Dead, Retry, RetryPolicy, retry_partition

POLICY = RetryPolicy(max_retries=3, delay_ms=2000, jitter=0.1)


@pytest.mark.parametrize(
    ("error", "temporary"),
    [
        *(
            (error, True)
            for error in (RuntimeError("x"), ConnectionResetError(), TimeoutError(), TemporaryError())
        ),
        *((error, False) for error in (RecursionError(), NotImplementedError(), ValueError(), PermanentError())),
        *((error, False) for error in (KeyError("x"), SystemExit(1), OSError())),
        (RetryAfter(1.0), True),
    ],
)
def test_only_named_errors_are_temporary(error, temporary) -> None:
    """An exact RuntimeError is; its subclasses are bugs."""
    assert POLICY.is_temporary(error) is temporary


def test_retries_end_at_the_maximum() -> None:
    """0, 1, 2 retries lead to the next one, 3 to the dead letter queue; permanent errors at once."""
    decisions = [POLICY.decide(RuntimeError(), retries) for retries in range(5)]
    assert decisions == [Retry(1), Retry(2), Retry(3), Dead(3), Dead(4)]
    assert POLICY.decide(ValueError(), 1) == Dead(1)
    assert RetryPolicy(max_retries=0).decide(RuntimeError(), 0) == Dead(0)


@given(st.integers(1, 1000), st.text())
def test_delays_double_up_to_an_hour_and_jitter_only_adds(attempt, origin) -> None:
    """min(delay * 2^(n-1), 1 h), and at most a tenth more."""
    plain = min(2000 * 2 ** (attempt - 1), LONGEST_DELAY_MS)
    wait = POLICY.wait_ms(attempt, origin)
    assert plain <= wait <= plain * 1.1
    assert wait == POLICY.wait_ms(attempt, origin)


def test_a_replay_is_due_at_once() -> None:
    """Attempt 0 waits for nothing."""
    assert POLICY.wait_ms(0, "orders/0/1") == 0


@given(st.integers(0, 200), st.none() | st.binary(), st.integers(1, 50), st.integers(0, 20))
def test_every_retry_has_a_partition(attempt, key, partitions, most) -> None:
    """In range, the same for the same key, whatever the topic looks like."""
    found = retry_partition(attempt, key, "orders/1/2", partitions, most)
    assert 0 <= found < partitions
    assert found == retry_partition(attempt, key, "orders/1/2", partitions, most)


def test_bands_do_not_mix() -> None:
    """With 8 partitions and 3 retries each attempt has two partitions of its own."""
    bands = [{retry_partition(n, str(k).encode(), "o", 8, 3) for k in range(100)} for n in range(4)]
    assert bands == [{0, 1}, {2, 3}, {4, 5}, {6, 7}]
