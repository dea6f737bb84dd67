"""What only state, offsets and origins together can tell: each disagreement is found."""

from dataclasses import replace

import pytest

from kafka_orders.domain.errors import UNREADABLE
from kafka_orders.domain.records import Progress, Slot
from kafka_orders.domain.recovery import Bounds
from kafka_orders.views.lag import Lag, totals
from kafka_orders.views.verify import Verdict
from kafka_orders.views.verify_agreement import Agreement, Origins

ORDERS, OTHER = Slot("orders", 0), Slot("orders", 1)


def agreed(state=None, *, before=5, after=5, more=()):
    """The findings for a topic of one partition."""
    states = {} if state is None else {ORDERS: state}
    states.update(more)
    return Agreement("orders", "main", 1, {ORDERS: before}, {ORDERS: after}).findings(states)


def test_state_and_offsets_of_one_transaction_agree() -> None:
    """Also where the group went on while the state was read, or its offsets expired."""
    assert agreed(Progress("main", 5)) == []
    assert agreed(Progress("main", 7), before=5, after=9) == []
    assert agreed(Progress("main", 5), before=None, after=None) == []
    assert agreed(None, before=None, after=None) == []
    assert agreed(None, before=0, after=0) == []


@pytest.mark.parametrize(
    ("state", "before", "after", "told"),
    [
        (None, 5, 5, "has committed offset 5, but there is no state"),
        (Progress("main", 3), 5, 5, "but the state ends at 3"),
        (Progress("main", 7), 5, 5, "would be counted twice (2 offsets)"),
        (Progress("stranger", 5), 5, 5, "written by group stranger, not by main"),
    ],
)
def test_each_disagreement_is_found(state, before, after, told) -> None:
    """One sentence, which names the partition."""
    (finding,) = agreed(state, before=before, after=after)
    assert finding.startswith("orders/0: ")
    assert told in finding


def test_state_of_a_partition_that_is_gone_is_found() -> None:
    """The topic was created again with fewer partitions; other topics' state is none of its business."""
    (finding,) = agreed(Progress("main", 5), more={OTHER: Progress("main", 9), Slot("retry", 4): Progress("r", 1)})
    assert finding.startswith("orders/1: the state counts it up to offset 9")


def origins(retries=(), dead=(), records=range(2, 6)):
    """Offsets 2 to 5 are read, 6 and 7 are younger orders, from 8 on there is nothing."""
    found = Origins("orders", {ORDERS: Bounds(2, 6)}, {ORDERS: Bounds(2, 8)})
    found.links([("orders", 0, *link, 0) for link in retries], [("orders", 0, *link, 0) for link in dead])
    for offset in records:
        found.record(ORDERS, offset)
    return found.findings()


def test_links_of_orders_that_exist_or_may_exist_are_fine() -> None:
    """Those removed by retention and those younger than the reading cannot be told."""
    assert origins(retries=[(2, 1), (5, 1), (6, 1)], dead=[(3, 0), (7, 0), (1, 0)]) == []


def test_later_hops_are_left_to_the_audit() -> None:
    """Their previous link is what they must find, not the order."""
    assert origins(retries=[(99, 2)], dead=[(99, 3)]) == []


@pytest.mark.parametrize("hop", [{"retries": [(4, 1)]}, {"dead": [(4, 0)]}])
def test_a_link_without_its_order_is_found(hop) -> None:
    """Offset 4 holds no order: a commit marker, or a record of an aborted transaction."""
    (finding,) = origins(**hop, records=[2, 3, 5])
    assert finding == "order orders/0/4 waits for a retry or is dead, but there is no such order"


def test_a_link_from_beyond_the_log_is_found() -> None:
    """Beyond the ends that were taken after all links were there."""
    assert "order orders/0/8 " in origins(dead=[(8, 0)])[0]


def test_a_link_from_an_unknown_partition_is_found_and_many_are_shortened() -> None:
    """A partition that the topic does not have."""
    found = Origins("orders", {ORDERS: Bounds(0, 1)}, {ORDERS: Bounds(0, 1)})
    found.links([], [("orders", 7, number, 0, 0) for number in range(50)])
    assert "order orders/7/0 " in found.findings()[0]
    assert found.findings()[-1] == "... and 30 more of this kind"
    assert len(found.findings()) == 21


def test_another_topics_links_are_none_of_its_business() -> None:
    """A stranger's record in the retry topic is its own origin."""
    found = Origins("orders", {ORDERS: Bounds(0, 1)}, {ORDERS: Bounds(0, 1)})
    found.links([("retry", 0, 9, 1, 0)], [("elsewhere", 0, 9, 0, 0)])
    assert found.findings() == []


def verdict(*, not_provable: int, findings=()) -> Verdict:
    return Verdict(True, list(findings), [], 3, 0, 1, 0, 0, not_provable)


def test_a_verdict_claims_only_what_was_proved() -> None:
    """Not `proved` where retention removed a part."""
    assert verdict(not_provable=0).sentence.startswith("proved order by order: 4 orders = 3 counted")
    assert verdict(not_provable=2).sentence.startswith("holds: 4 orders")
    assert "not provable for 2" in verdict(not_provable=2).sentence
    assert verdict(not_provable=0, findings=["x"]).sentence == "does NOT hold: 1 findings in 4 orders"
    unread = replace(verdict(not_provable=0, findings=["x"]), unreadable=1).sentence
    assert unread == "does NOT hold: 1 findings in 4 orders; 1 that should be counted " + UNREADABLE


def test_lag_is_summed_by_group() -> None:
    """What is unknown in a part is unknown in the sum."""
    parts = [
        Lag("m", Slot("orders", 0), 1, 5, 4),
        Lag("r", Slot("retry", 0), 1, 5, 4, 3),
        Lag("r", Slot("retry", 1), None, 5, 5, 2),
    ]
    assert [(one.group, one.lag, one.waiting) for one in totals(parts)] == [("m", 4, None), ("r", 9, 5)]
    unknown = Lag("r", Slot("retry", 2), None, 99_999, 99_999)
    assert totals([*parts, unknown])[1].waiting is None
