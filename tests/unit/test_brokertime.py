"""The broker's clock is never guessed ahead."""

from hypothesis import given
from hypothesis import strategies as st

from kafka_orders.domain.brokertime import BrokerTime


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.booleans()), min_size=1, max_size=60), st.integers(-(10**9), 10**9)
)
def test_the_estimate_is_never_ahead(delays, difference_ms) -> None:
    """However late the sightings come, and whatever this machine's clock says."""
    time = BrokerTime()
    now = 0.0
    for delay_ms, fresh in delays:
        now += 1.0
        true_ms = now * 1000 + difference_ms
        time.observe(int(true_ms - delay_ms), now, fresh=fresh)
        assert time.now(now) <= true_ms
        assert time.now(now + 10) <= true_ms + 10_000


def test_a_fresh_sighting_makes_it_exact() -> None:
    """Old records leave it behind; an acknowledgement of our own catches up."""
    time = BrokerTime()
    time.observe(1_000, 50.0)
    assert (time.now(50.0), time.is_fresh) == (1_000, False)
    time.observe(90_000, 51.0, fresh=True)
    assert (time.now(51.0), time.is_fresh) == (90_000, True)


def test_a_clock_that_is_set_back_is_followed() -> None:
    """Only the newest sightings count."""
    time = BrokerTime(window=3)
    time.observe(100_000, 1.0, fresh=True)
    for second in range(2, 6):
        time.observe(second * 1000, float(second), fresh=True)
    assert time.now(6.0) == 6_000


def test_nothing_is_due_before_anything_is_known() -> None:
    """Unknown time is minus infinity."""
    assert BrokerTime().now(5.0) == float("-inf")


def test_the_best_of_the_newest_sightings_counts() -> None:
    """A late report does not set the clock back, an old record adds nothing, and the best one expires."""
    time = BrokerTime(window=2)
    time.observe(10_000, 0.0, fresh=True)
    time.observe(9_000, 0.0, fresh=True)
    assert time.now(0.0) == 10_000
    time.observe(1_000, 0.0)
    assert time.now(0.0) == 10_000
    time.observe(8_000, 0.0, fresh=True)
    assert time.now(1.0) == 10_000


def test_an_old_record_may_be_the_newest_thing_known() -> None:
    """It moves the estimate on, but does not make it fresh."""
    time = BrokerTime()
    time.observe(1_000, 0.0)
    time.observe(2_000, 0.5)
    assert (time.now(0.5), time.is_fresh) == (2_000, False)
    time.observe(2_500, 1.0, fresh=True)
    time.observe(2_600, 1.0)
    assert (time.now(1.0), time.is_fresh) == (2_600, True)


def test_sixteen_sightings_are_remembered() -> None:
    """One late report does not matter, sixteen in a row are the truth."""
    time = BrokerTime()
    time.observe(10_000, 0.0, fresh=True)
    found = []
    for _ in range(16):
        time.observe(9_000, 0.0, fresh=True)
        found.append(time.now(0.0))
    assert found == [10_000] * 15 + [9_000]
