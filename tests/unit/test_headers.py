"""Failure headers: replaced, never appended; read with bounds, never crashing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_orders.domain import headers
from kafka_orders.domain.fingerprint import Failure
from kafka_orders.domain.headers import Journey, Origin

FAILURE = Failure("it broke", "builtins.ValueError", "process", "0123456789abcdef", "line\n" * 2000)
JOURNEY = Journey(Origin("orders", 1, 2, 3), 2, 10, 20, "group", 30)

hostile = st.lists(
    st.tuples(
        st.sampled_from([*sorted(headers.OURS), "traceparent", "x-else", ""]),
        st.none() | st.binary(max_size=40) | st.text(max_size=20).map(str.encode),
    ),
    max_size=12,
)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, 0), ([], 0), ([("retryCount", b"2")], 2), ([("retryCount", "2")], 2), ([("retryCount", b"0")], 0),
        ([("retryCount", b"1"), ("retryCount", b"1")], 0), ([("retryCount", b"\xff")], 0),
        ([("retryCount", None)], 0), ([("retryCount", b"-1")], 0), ([("retryCount", b"1.5")], 0),
        ([("retryCount", b"99999999999")], 0), ([("retryCount", "٣".encode())], 0), ([("retryCount", b"")], 0),
        ([("retryCount", b" 1")], 0), ([("retryCount", b"1e3")], 0),
    ],
)  # fmt: skip
def test_retry_count_is_zero_where_it_makes_no_sense(found, expected) -> None:
    """Missing, repeated, null, not UTF-8, negative, absurd."""
    assert headers.retry_count(found) == expected


@given(hostile)
def test_nothing_crashes_on_a_strangers_headers(found) -> None:
    """Reading is total, and what is read is bounded."""
    assert 0 <= headers.retry_count(found) <= 999
    origin = headers.origin(found)
    assert origin is None or (origin.topic and origin.partition >= 0 and origin.offset >= 0)
    built = headers.build(found, JOURNEY, FAILURE, with_stack=True)
    names = [name for name, _ in built]
    for name in headers.FAILURE_HEADERS | headers.ORIGIN_HEADERS:
        assert names.count(name) == 1, name
    foreign = [one for one in found if one[0] not in headers.OURS and one[0] != "traceparent"]
    assert [one for one in built if one[0] not in headers.OURS and one[0] != "traceparent"] == foreign
    assert names.count("traceparent") <= 1


def test_what_is_built_reads_back() -> None:
    """Origin, count and times survive the trip through text."""
    built = headers.build([], JOURNEY, FAILURE, with_stack=False)
    assert headers.origin(built) == Origin("orders", 1, 2, 3)
    assert headers.retry_count(built) == 2
    assert headers.first_failed_at(built) == 10
    assert dict(built)["x-retry-due"] == b"30"
    assert "x-exception-stacktrace" not in dict(built)


def test_long_texts_are_cut_inside_the_limits() -> None:
    """1 KiB of message, the last 4 KiB of stack, never half a character."""
    long = Failure("ü" * 5000, "m.C", "process", "f", "ä" * 9000 + "END")
    built = dict(headers.build([], JOURNEY, long, with_stack=True))
    assert len(built["error"]) <= 1024
    assert built["error"].decode() == "ü" * 512
    assert len(built["x-exception-stacktrace"]) <= 4096
    assert built["x-exception-stacktrace"].decode().endswith("END")


@given(st.text(), st.integers(0, 50))
def test_clip_never_splits_a_character(text, limit) -> None:
    """Cut text is valid UTF-8 of at most the limit."""
    assert len(headers.clip(text, limit).encode()) <= limit
    assert len(headers.clip_start(text, max(1, limit)).encode()) <= max(1, limit)


def test_a_record_is_made_to_fit_without_its_stack() -> None:
    """The detail goes, everything else stays."""
    built = headers.build([("mine", b"1")], JOURNEY, FAILURE, with_stack=True)
    assert dict(built).keys() - dict(headers.without_detail(built, headers.EXCEPTION_STACKTRACE)).keys() == {
        headers.EXCEPTION_STACKTRACE
    }
