"""The order contract: what is countable is counted, everything else is named."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_orders.domain.averages import LARGEST_VALUE
from kafka_orders.domain.errors import InvalidOrderError
from kafka_orders.domain.order import Contract

GOOD = {"orderId": "a", "product": "Item1", "price": 1.5}


@given(st.floats())
def test_a_price_counts_exactly_when_it_is_finite_and_zero_or_more(price) -> None:
    """Every double, on both sides of the limits."""
    order = {**GOOD, "price": price}
    if math.isfinite(price) and 0 <= price < LARGEST_VALUE:
        assert Contract().validator()(order) == ("Item1", price)
    else:
        with pytest.raises(InvalidOrderError, match="price is"):
            Contract().validator()(order)


def test_the_limits_are_where_they_are_said_to_be() -> None:
    """Zero and the last double below the largest are in; the largest itself and the first negative are out."""
    for price in (0.0, -0.0, math.nextafter(LARGEST_VALUE, 0)):
        assert Contract().validator()({**GOOD, "price": price}) == ("Item1", price)
    for price in (LARGEST_VALUE, -5e-324):
        with pytest.raises(InvalidOrderError):
            Contract().validator()({**GOOD, "price": price})


def test_a_contract_of_other_fields() -> None:
    """Id, value and group are named by the app; without an id field none is asked for."""
    contract = Contract(id_field="no", value_field="weight", group_by="region")
    assert contract.validator()({"no": "1", "weight": 2.0, "region": "EU"}) == ("EU", 2.0)
    with pytest.raises(InvalidOrderError, match="field no is empty"):
        contract.validator()({"no": "", "weight": 2.0, "region": "EU"})
    with pytest.raises(InvalidOrderError, match="field no is missing"):
        contract.validator()({"weight": 2.0, "region": "EU"})
    assert Contract(id_field=None).validator()({"product": "A", "price": 1.0}) == ("A", 1.0)


@pytest.mark.parametrize(("group", "expected"), [(7, "7"), (None, "None"), ("", ""), ("a/b", "a/b")])
def test_a_group_is_a_text(group, expected) -> None:
    """Averages are kept by text keys."""
    found = Contract().validator()({**GOOD, "product": group})[0]
    assert (found, type(found)) == (expected, str)


def test_a_long_value_is_cut_in_the_complaint() -> None:
    """The message stays readable."""
    with pytest.raises(InvalidOrderError) as refused:
        Contract().validator()({**GOOD, "price": "9" * 10_000})
    assert len(str(refused.value)) < 200
