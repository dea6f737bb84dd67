"""Other systems' headers, by the tables of their own sources; none of them can make us fail."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_orders.deadletters.dialects import ALL, SYSTEMS, is_failure_header
from kafka_orders.deadletters.letters import Told
from kafka_orders.deadletters.payloads import describe, tolerant
from kafka_orders.domain import headers
from kafka_orders.domain.errors import DecodeError
from kafka_orders.domain.headers import Origin
from tests.unit.values import CODEC, order

INT, LONG = (lambda n: struct.pack(">i", n)), (lambda n: struct.pack(">q", n))


def told(held: dict[str, bytes]) -> Told:
    return next(filter(None, (dialect(held) for dialect in ALL)))


RECORDS = {
    "Spring": {
        "kafka_dlt-original-topic": b"orders", "kafka_dlt-original-partition": INT(3),
        "kafka_dlt-original-offset": LONG(12345), "kafka_dlt-original-timestamp": LONG(1_795_000_000_000),
        "kafka_dlt-exception-fqcn": b"org.springframework.kafka.listener.ListenerExecutionFailedException",
        "kafka_dlt-exception-cause-fqcn": b"java.lang.IllegalStateException",
        "kafka_dlt-exception-message": b"order 17 is bad", "kafka_dlt-original-consumer-group": b"shop",
    },
    "Spring retry topic": {
        "kafka_original-topic": b"orders", "kafka_original-partition": INT(3),
        "kafka_original-offset": LONG(12345),
        "kafka_exception-cause-fqcn": b"java.lang.IllegalStateException",
        "kafka_exception-message": b"order 18 is bad", "retry_topic-attempts": INT(4),
        "kafka_dlt-original-consumer-group": b"shop",
    },
    "Spring Cloud Stream": {
        "x-original-topic": b"orders", "x-original-partition": INT(3), "x-original-offset": LONG(12345),
        "x-exception-fqcn": b"java.lang.IllegalStateException", "x-exception-message": b"order 19 is bad",
    },
    "Kafka Connect": {
        "__connect.errors.topic": b"orders", "__connect.errors.partition": b"3",
        "__connect.errors.offset": b"12345",
        "__connect.errors.exception.class.name": b"java.lang.IllegalStateException",
        "__connect.errors.exception.message": b"order 20 is bad", "__connect.errors.stage": b"VALUE_CONVERTER",
        "__connect.errors.connector.name": b"shop",
    },
    "Kafka Streams": {
        "__streams.errors.topic": b"orders", "__streams.errors.partition": b"3",
        "__streams.errors.offset": b"12345",
        "__streams.errors.exception": b"java.lang.IllegalStateException: order 21 is bad",
    },
    "share group": {
        "__dlq.errors.topic": b"orders", "__dlq.errors.partition": b"3", "__dlq.errors.offset": b"12345",
        "__dlq.errors.group": b"shop", "__dlq.errors.message": b"order 22 is bad",
        "__dlq.errors.delivery.count": b"5",
    },
    "SmallRye": {
        "dead-letter-topic": b"orders", "dead-letter-partition": b"3", "dead-letter-offset": b"12345",
        "dead-letter-exception-class-name": b"java.lang.IllegalStateException",
        "dead-letter-reason": b"order 23 is bad",
    },
}  # fmt: skip


@pytest.mark.parametrize("system", RECORDS)
def test_each_system_is_read(system: str) -> None:
    """Origin, class, message, and a fingerprint that does not hang on the number in the message."""
    found = told(RECORDS[system])
    assert (found.dialect, found.target) == (system, "orders")
    assert found.origin is not None
    assert found.origin[:3] == ("orders", 3, 12345)
    assert found.message.startswith("order 2" if found.message[6] == "2" else "order 1")
    if system != "share group":
        assert found.fqcn == "java.lang.IllegalStateException"
    other = {name: value.replace(b" is bad", b"9 is bad") for name, value in RECORDS[system].items()}
    assert told(other).fingerprint == found.fingerprint
    assert len(found.fingerprint) == 16
    assert all(map(is_failure_header, RECORDS[system]))


def test_every_system_is_tested_and_ours_comes_first() -> None:
    """A record of ours that came through another system first is ours."""
    assert {one.system for one in SYSTEMS} == set(RECORDS)
    held = RECORDS["Spring"] | {
        headers.FAILURE_FINGERPRINT: b"0123456789abcdef", headers.ORIGINAL_TOPIC: b"here",
        headers.ORIGINAL_PARTITION: b"0", headers.ORIGINAL_OFFSET: b"7", headers.ERROR: b"no",
        headers.RETRY_COUNT: b"3",
    }  # fmt: skip
    found = told(held)
    assert (found.dialect, found.origin, found.retries) == ("kafka-orders", Origin("here", 0, 7, -1), 3)
    assert found.target == ""


def test_a_strangers_own_headers_stay() -> None:
    """Only what tells of the failure is dropped on a replay."""
    assert not any(map(is_failure_header, ("traceparent", "tenant", "content-type", "retry", "x-request-id")))
    assert all(map(is_failure_header, headers.OURS))


NAMES = sorted({name for one in RECORDS.values() for name in one} | headers.OURS)


@given(st.dictionaries(st.sampled_from(NAMES), st.none() | st.binary(max_size=40) | st.just(b"9" * 30)))
def test_hostile_headers_never_raise(held: dict[str, bytes]) -> None:
    """Whatever they hold."""
    for dialect in ALL:
        dialect(held)


def test_payloads_are_understood_as_far_as_they_can_be() -> None:
    """Own, framed by a registry, JSON, text, bytes, null."""
    own = order(1, "Tea", 2.0)
    assert describe(own, CODEC.decode).kind == "own"
    framed = describe(b"\0\0\0\1\2" + own, CODEC.decode)
    assert (framed.kind, framed.schema_id, framed.fields["product"]) == ("framed", 258, "Tea")
    assert describe(b' {"product": "Tea"}', CODEC.decode).fields == {"product": "Tea"}
    assert describe(b"just words", CODEC.decode).text == "just words"
    assert describe(None, CODEC.decode).kind == "null"
    deep = describe(b'{"a":' * 500 + b"1" + b"}" * 500, lambda *_: {"a": json.loads("[" * 500 + "]" * 500)})
    assert (deep.kind, deep.error) == ("text", "nested deeper than 100 levels")
    broken = describe(own[:-1] + b"", CODEC.decode)
    assert (broken.kind, broken.fields) == ("bytes", None)
    assert broken.broke_at is not None
    assert bytes.fromhex(broken.hex) == own[:-1]
    with pytest.raises(DecodeError):
        tolerant(CODEC.decode)(b"\xff\xff", [])
    assert tolerant(CODEC.decode)(b'{"product": "Tea"}', []) == {"product": "Tea"}


@given(st.binary(max_size=64))
def test_any_bytes_are_described(payload: bytes) -> None:
    """And nothing is raised, whatever they are."""
    assert describe(payload, CODEC.decode).kind in {"own", "framed", "json", "text", "bytes"}
