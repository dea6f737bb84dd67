"""What is temporary, how long a retry waits, and where."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_orders.domain.errors import PermanentError, RetryAfter, TemporaryError
from kafka_orders.domain.policy import LONGEST_DELAY_MS, Dead, Retry, RetryPolicy, retry_partition
from kafka_orders.domain.settings import Settings

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


def test_a_permanent_error_stays_permanent_among_temporary_classes() -> None:
    """A class that is both is permanent, and an app may name temporary classes of its own."""

    class Both(PermanentError, TemporaryError):
        pass

    assert POLICY.is_temporary(Both()) is False
    own = RetryPolicy(temporary=(OSError,))
    assert (own.is_temporary(FileNotFoundError()), own.is_temporary(TemporaryError())) == (True, False)


def test_delays_without_jitter_are_exact() -> None:
    """2, 4, 8 s; an hour is the most, whatever the attempt."""
    plain = RetryPolicy(delay_ms=2000, jitter=0.0)
    assert [plain.wait_ms(n, "orders/0/1") for n in (-1, 0, 1, 2, 3)] == [0, 0, 2000, 4000, 8000]
    assert [plain.wait_ms(n, "orders/0/1") for n in (11, 12, 10_000)] == [2_048_000, 3_600_000, 3_600_000]
    assert RetryPolicy(delay_ms=1, jitter=0.0).wait_ms(10_000, "o") == 3_600_000


def test_jitter_spreads_the_origins() -> None:
    """Different origins and attempts wait differently, over the whole range of the jitter."""
    policy = RetryPolicy(delay_ms=1_000_000, jitter=1.0)
    waits = [policy.wait_ms(1, f"orders/0/{offset}") for offset in range(200)]
    assert min(waits) < 1_050_000 < 1_950_000 < max(waits)
    assert policy.wait_ms(1, "o") - 1_000_000 != (policy.wait_ms(2, "o") - 2_000_000) / 2


def test_a_key_keeps_its_partition_and_keys_spread() -> None:
    """The key decides inside a band; without one the origin does, and an empty key is a key."""
    assert retry_partition(1, b"k", "orders/1/2", 8, 3) == retry_partition(1, b"k", "orders/9/9", 8, 3)
    keyless = {retry_partition(1, None, f"orders/0/{offset}", 8, 3) for offset in range(50)}
    assert keyless == {2, 3}
    assert len({retry_partition(1, b"", f"orders/0/{offset}", 8, 3) for offset in range(50)}) == 1


@pytest.mark.parametrize(
    ("partitions", "most", "expected"),
    [(1, 3, [0, 0, 0, 0, 0]), (2, 3, [0, 1, 1, 1, 1]), (4, 3, [0, 1, 2, 3, 3]), (7, 3, [0, 1, 2, 3, 3])],
)
def test_small_topics_share_the_last_band(partitions, most, expected) -> None:
    """Where attempts outnumber the bands, the late ones share the last."""
    assert [retry_partition(attempt, b"k", "o", partitions, most) for attempt in range(5)] == expected


def test_the_defaults_are_those_of_the_settings() -> None:
    """Three retries after 2, 4 and 8 seconds, a tenth more at most."""
    assert RetryPolicy() == Settings().policy == RetryPolicy(max_retries=3, delay_ms=2000, jitter=0.1)


@pytest.mark.parametrize(
    ("seconds", "wait"),
    [(1, 1_000), (0, 0), (0.0004, 1), (10_000, LONGEST_DELAY_MS), (float("inf"), LONGEST_DELAY_MS), (-1, None),
     (float("nan"), None)],
)  # fmt: skip
def test_a_handler_may_ask_for_its_wait(seconds, wait) -> None:
    """In whole milliseconds, never shorter than asked for, at most an hour; what makes no sense is not heard."""
    policy = RetryPolicy(3, 2_000, 0.1)
    assert policy.decide(RetryAfter(seconds), 1) == Retry(2, wait)
    assert policy.decide(RetryAfter(seconds), 3) == Dead(3)
    waited = policy.wait_ms(2, "orders/0/1", wait)
    least = 4_000 if wait is None else wait
    assert least <= waited <= least * 1.1


@pytest.mark.parametrize(("told", "wait"), [("5", 5_000), (timedelta(minutes=1), 60_000), (Decimal("2.5"), 2_500)])
def test_a_wait_may_be_told_in_other_ways(told, wait) -> None:
    """As a server's Retry-After header tells it, for one."""
    assert RetryPolicy().decide(RetryAfter(told), 0) == Retry(1, wait)


@pytest.mark.parametrize("told", ["Wed, 25 Nov 2026 22:00:00 GMT", None, "", object()])
def test_a_wait_that_makes_no_sense_is_the_policys(told) -> None:
    """Not a dead letter: the failure stays temporary."""
    assert RetryPolicy().decide(RetryAfter(told), 0) == Retry(1)
    assert str(RetryAfter(told)) == "retry later"


class Odd(RetryAfter):
    def __init__(self) -> None:
        self.anything = 1


def test_a_subclass_without_seconds_waits_as_the_policy_says() -> None:
    """Its author forgot to call super()."""
    assert RetryPolicy().decide(Odd(), 0) == Retry(1)


@pytest.mark.parametrize(
    ("attempt", "after_ms", "band"),
    [(1, None, 1), (3, None, 3), (3, 500, 1), (1, 2_000, 1), (1, 2_001, 2), (1, 5_000, 3), (1, 3_600_000, 3)],
)
def test_a_wait_that_was_asked_for_goes_where_others_wait_as_long(attempt, after_ms, band) -> None:
    """So that a short delay does not wait behind it; the last band takes what is longer than all."""
    assert RetryPolicy(3, 2_000, 0.1).band(Retry(attempt, after_ms)) == band


def test_one_retry_has_one_band() -> None:
    """And that takes every wait."""
    assert RetryPolicy(1, 2_000).band(Retry(1, 60_000)) == 1
