"""Failure headers: replaced, never appended; read with bounds, never crashing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_orders.domain import headers
from kafka_orders.domain.fingerprint import Failure
from kafka_orders.domain.headers import Journey, Origin

FAILURE = Failure("it broke", "builtins.ValueError", "process", "0123456789abcdef", "line\n" * 2000)
JOURNEY = Journey(Origin("orders", 1, 2, 3), 2, 10, 20, "group", 30, 40)

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
    for name in headers.OURS - headers.REPLAY_HEADERS:
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


def test_a_rebuilt_record_does_not_grow() -> None:
    """Three failures in a row leave the headers of one, with the newest values."""
    once = headers.build([("mine", b"1")], JOURNEY, FAILURE, with_stack=True)
    later = Journey(JOURNEY.origin, 3, 10, 40, "group", 50, 60)
    thrice = headers.build(headers.build(once, JOURNEY, FAILURE, with_stack=True), later, FAILURE, with_stack=True)
    assert [name for name, _ in thrice] == [name for name, _ in once]
    assert (headers.retry_count(thrice), dict(thrice)["x-failed-at"], dict(thrice)["x-retry-due"]) == (
        3,
        b"40",
        b"50",
    )


def test_a_dead_letter_loses_what_only_a_retry_has() -> None:
    """No due time without a retry, no stack without a dead letter."""
    waiting = headers.build([], JOURNEY, FAILURE, with_stack=False)
    dead = Journey(JOURNEY.origin, 3, 10, 40, "group", None)
    assert "x-retry-due" in dict(waiting)
    final = dict(headers.build(waiting, dead, FAILURE, with_stack=True))
    assert "x-retry-due" not in final
    assert "x-retry-after" not in final
    again = headers.build(headers.build([], JOURNEY, FAILURE, with_stack=True), JOURNEY, FAILURE, with_stack=False)
    assert "x-exception-stacktrace" not in dict(again)


def test_all_values_stand_under_their_names() -> None:
    """The contract of design, section 2."""
    failure = Failure("it broke", "m.Error", "validate", "0123456789abcdef", "the stack")
    assert headers.build(None, JOURNEY, failure, with_stack=True) == [
        ("retryCount", b"2"), ("error", b"it broke"), ("x-original-topic", b"orders"),
        ("x-original-partition", b"1"), ("x-exception-fqcn", b"m.Error"), ("x-failure-stage", b"validate"),
        ("x-failure-fingerprint", b"0123456789abcdef"), ("x-consumer-group", b"group"),
        ("x-original-offset", b"2"), ("x-original-timestamp", b"3"), ("x-first-failed-at", b"10"),
        ("x-failed-at", b"20"), ("x-exception-stacktrace", b"the stack"), ("x-retry-due", b"30"),
        ("x-retry-after", b"40"),
    ]  # fmt: skip


def test_a_strangers_headers_stay_as_they_came() -> None:
    """Order, repetitions, nulls and bytes; a repeated traceparent once, the first of them."""
    came = [
        ("b", b"\xff"), ("traceparent", b"00-1"), ("a", None), ("b", b""), ("traceparent", b"00-2"),
        ("x-replay-id", b"r"), ("RetryCount", b"9"),
    ]  # fmt: skip
    built = headers.build(came, JOURNEY, FAILURE, with_stack=False)
    assert built[:6] == [("b", b"\xff"), ("traceparent", b"00-1"), ("a", None), ("b", b""), ("RetryCount", b"9"),
                         ("x-replay-id", b"r")]  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"x-original-topic": b""}, {"x-original-topic": b"\xff"}, {"x-original-partition": b"-1"},
        {"x-original-partition": b"1234567890"}, {"x-original-offset": b"x"}, {"x-original-offset": b"1" * 20},
        {"x-original-topic": None}, {"x-original-partition": None}, {"x-original-offset": None},
    ],
)  # fmt: skip
def test_half_an_origin_is_none(change) -> None:
    """Topic, partition and offset are all sound, or none is believed."""
    sound = {"x-original-topic": b"o", "x-original-partition": b"123456789", "x-original-offset": b"9" * 19}
    assert headers.origin(list(sound.items())) == Origin("o", 123456789, 10**19 - 1, -1)
    assert headers.origin(list({**sound, **change}.items())) is None


@pytest.mark.parametrize(("stamp", "expected"), [(b"0", 0), (b"9" * 15, 10**15 - 1), (b"9" * 16, -1), (b"x", -1)])
def test_an_absurd_timestamp_is_unknown(stamp, expected) -> None:
    """The origin holds without it."""
    held = [("x-original-topic", b"o"), ("x-original-partition", b"0"), ("x-original-offset", b"0"),
            ("x-original-timestamp", stamp)]  # fmt: skip
    assert headers.origin(held) == Origin("o", 0, 0, expected)


@given(st.text(), st.integers(1, 60))
def test_clipped_text_is_as_long_as_it_can_be(text, limit) -> None:
    """The longest run of whole characters: of the start for messages, of the end for stacks."""
    start, end = headers.clip(text, limit), headers.clip_start(text, limit)
    assert text.startswith(start)
    assert text.endswith(end)
    for cut, kept in ((start, text[: len(start) + 1]), (end, text[-len(end) - 1 :])):
        assert cut == text or len(kept.encode()) > limit


@pytest.mark.parametrize("text", ["a\ud800b", "\udfff"])
def test_text_that_is_not_unicode_is_still_told(text) -> None:
    """Half a surrogate pair in an error's message becomes a question mark."""
    built = dict(headers.build([], JOURNEY, Failure(text, "m.C", "process", "f", text), with_stack=True))
    assert built["error"] == built["x-exception-stacktrace"] == text.encode(errors="replace")


def test_the_limits_are_used_to_the_last_byte() -> None:
    """1,024 bytes of message and class, 4,096 of stack, counts of three digits, times of fifteen."""
    long = Failure("m" * 5000, "c" * 5000, "process", "f", "s" * 5000)
    built = dict(headers.build([], JOURNEY, long, with_stack=True))
    assert [len(built[name]) for name in ("error", "x-exception-fqcn", "x-exception-stacktrace")] == [
        1024,
        1024,
        4096,
    ]
    assert [headers.retry_count([("retryCount", text)]) for text in (b"999", b"1000")] == [999, 0]
    for digits, expected in ((15, 10**15 - 1), (16, None)):
        assert headers.first_failed_at([("x-first-failed-at", b"9" * digits)]) == expected


def test_an_origin_is_a_place_and_perhaps_a_time() -> None:
    """Its text is the idempotency key for the world outside."""
    assert (str(Origin("orders", 1, 2)), Origin("orders", 1, 2).timestamp_ms) == ("orders/1/2", -1)


TRACE, LATER = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01", b"00-" + b"c" * 32 + b"-" + b"d" * 16 + b"-00"

sound = st.builds(
    "{}-{:032x}-{:016x}-{:02x}".format,
    st.just("00"), st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255),
).map(str.encode)  # fmt: skip
traced = st.lists(
    st.tuples(
        st.sampled_from(["traceparent", "tracestate", "x-else", "Traceparent"]),
        st.none() | sound | st.binary(max_size=60) | st.just(b"vendor=1"),
    ),
    max_size=8,
)


@given(traced)
def test_a_record_leaves_with_one_trace_context(held) -> None:
    """The first sound one, if any is; others stay as they came, and doing it twice changes nothing."""
    once = headers.traced_once(held)
    for name in ("traceparent", "tracestate"):
        came = [one for one in held if one[0] == name]
        left = [one for one in once if one[0] == name]
        assert len(left) == min(1, len(came))
        assert set(left) <= set(came)
    told = [value for name, value in held if name == "traceparent"]
    sound_ones = [value for value in told if headers.trace_of([("traceparent", value)])]
    if told:
        assert dict(once)["traceparent"] == [*sound_ones, *told][0]
    assert headers.trace_of(held).get("traceparent", "").encode() == (sound_ones[0] if sound_ones else b"")
    assert [one for one in once if not one[0].startswith("trace")] == [
        one for one in held if not one[0].startswith("trace")
    ]
    assert headers.traced_once(once) == once
    built = headers.build(held, JOURNEY, FAILURE, with_stack=False)
    assert [one for one in built if one[0].startswith("trace")] == [
        one for one in once if one[0].startswith("trace")
    ]


@pytest.mark.parametrize(
    "value",
    [
        None, b"", b"\xff", b"nonsense", TRACE.upper(), TRACE + b" ", TRACE + b"-more", TRACE[:-1],
        b"ff" + TRACE[2:],
        b"00-" + b"0" * 32 + TRACE[35:], TRACE[:36] + b"0" * 16 + b"-01", b"01" + TRACE[2:] + b"-" + b"x" * 500,
        b"01" + TRACE[2:] + b"more", TRACE + b"\n",
    ],
)  # fmt: skip
def test_an_absurd_trace_context_is_none(value) -> None:
    """And a sound one behind it is taken; both absurd, the first stays as it came."""
    assert headers.trace_of([("traceparent", value)]) == {}
    both = [("traceparent", value), ("a", b"1"), ("traceparent", LATER)]
    assert headers.traced_once(both) == [("a", b"1"), ("traceparent", LATER)]
    assert headers.traced_once([("traceparent", value), ("traceparent", b"?")]) == [("traceparent", value)]


def test_a_trace_context_brings_its_state() -> None:
    """The first one, up to 512 characters; a later version of the standard may say more."""
    assert headers.trace_of([("traceparent", TRACE), ("tracestate", b"a=1"), ("tracestate", b"b=2")]) == {
        "traceparent": TRACE.decode(),
        "tracestate": "a=1",
    }
    for value in (None, b"", b"\xff", b"a=" + b"1" * 511):
        assert headers.trace_of([("traceparent", TRACE), ("tracestate", value)]) == {"traceparent": TRACE.decode()}
    assert headers.trace_of([("tracestate", b"a=1")]) == {}
    future = b"01" + TRACE[2:] + b"-more"
    assert headers.trace_of([("traceparent", future)]) == {"traceparent": future.decode()}
