"""The closed loop, audited: every way in which a status may lie is found."""

import pytest

from kafka_orders.domain.headers import Replayed
from kafka_orders.domain.standing import DISCARDED, FAILED_AGAIN, OPEN, REPLAYING, RESOLVED, Standing
from kafka_orders.views.verify_replays import Replays

ONE, TWO = Replayed("dlq/0/1", "j", 1), Replayed("dlq/0/2", "j", 1)
SENT = Standing(REPLAYING, "j", 1, "retry/0/5")


def findings(standings, *, sent=(ONE,), counted=(), dead=()) -> list[str]:
    found = Replays()
    for one in sent:
        found.link(one, 0, dead=False)
        found.link(one, 2, dead=False)  # its own retries
    found.link(None, 0, dead=False)
    for one in dead:
        found.link(one, 0, dead=True)
    for one in counted:
        found.handled(one, "processed")
    found.handled(ONE, "retried")
    found.handled(None, "processed")
    return found.findings(standings, "retry")


def test_what_agrees_has_no_findings() -> None:
    """Waiting, counted, dead again; given up; sent to another topic; resolved since the topics were read."""
    assert findings({ONE.letter: SENT}) == []
    assert findings({ONE.letter: Standing(RESOLVED, "j", 1)}, counted=[ONE]) == []
    assert findings({ONE.letter: Standing(RESOLVED, "j", 1)}) == []
    assert findings({ONE.letter: Standing(FAILED_AGAIN, "j", 1)}, dead=[ONE]) == []
    other = {TWO.letter: Standing(DISCARDED, "k"), "dlq/0/3": Standing(REPLAYING, "k", 1, "orders/2/9")}
    assert findings({ONE.letter: SENT} | other) == []


@pytest.mark.parametrize(
    ("standings", "facts", "said"),
    [
        ({ONE.letter: SENT}, {"sent": [ONE, ONE]}, "sent back 2 times"),
        ({}, {}, "was sent back, but its status is open"),
        ({ONE.letter: Standing(DISCARDED)}, {}, "was sent back, but its status is discarded"),
        ({ONE.letter: SENT}, {"sent": []}, "is replaying, but it was never sent back"),
        ({ONE.letter: Standing(RESOLVED)}, {"sent": []}, "is resolved, but it was never sent back"),
        ({ONE.letter: SENT}, {"counted": [ONE]}, "is resolved, but its status is replaying"),
        ({ONE.letter: Standing(RESOLVED)}, {"dead": [ONE]}, "is failed_again, but its status is resolved"),
        ({ONE.letter: Standing(FAILED_AGAIN)}, {"counted": [ONE]}, "is resolved, but its status is failed_again"),
        ({ONE.letter: Standing(OPEN)}, {}, "was sent back, but its status is open"),
    ],
)
def test_each_disagreement_is_found(standings, facts, said: str) -> None:
    """And said once."""
    (found,) = findings(standings, **facts)
    assert said in found
