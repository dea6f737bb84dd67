"""What JSON has no words for is told all the same."""

from datetime import UTC, datetime
from decimal import Decimal

from kafka_orders.web.shapes import plain


def test_any_decoded_order_can_be_told() -> None:
    order = {
        "bytes": b"\xff\x00", "nan": float("nan"), "inf": float("-inf"), "price": Decimal("1.10"),
        "at": datetime(2026, 11, 26, tzinfo=UTC), "nested": {"more": [b"\x01", None, True, 3]},
    }  # fmt: skip
    assert plain(order) == {
        "bytes": "ff 00", "nan": "NaN", "inf": "-Infinity", "price": "1.10", "at": "2026-11-26 00:00:00+00:00",
        "nested": {"more": ["01", None, True, 3]},
    }  # fmt: skip
