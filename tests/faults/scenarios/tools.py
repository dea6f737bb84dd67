"""F18: what happens to the tools that send dead letters back."""

from __future__ import annotations

import json
import time

from tests.faults.bed import Bed
from tests.faults.scenarios import scenario
from tests.support.pipeline import Role
from tests.support.waiting import eventually
from tests.support.witness import read_all

REPLAY = ("-m", "kafka_orders", "dlq", "replay", "--max-replays", "4", "--rate", "300", "--quiet")


@scenario("F18")
def replays_killed(bed: Bed) -> None:
    """SIGKILL of replays, two of them at once now and then, and of the roles that handle what they send."""
    bed.open()
    bed.staff()
    bed.produce(1_000_000, 1000)
    bed.flow(1500)
    for number in range(int(bed.length(6, 40))):
        before = replaying(bed)
        tools = [bed.line.start(*REPLAY) for _ in range(1 + number % 2)]
        eventually(lambda before=before: replaying(bed) > before, 60, "a replay sends")
        time.sleep(bed.chance.uniform(0, 0.3))  # a random moment, not a wait
        for tool in tools:
            kill(bed, tool)
        if number % 3 == 0:
            bed.kill_open()
        bed.flow()
    bed.end_production()
    for role in bed.producers:
        role.process.wait(60)
    bed.flow(1 << 40)  # all that is left
    last = bed.line.run("dlq", "replay", "--max-replays", "4", within=120)
    assert last.returncode == 0, last.stderr
    eventually(lambda: bed.keep() or statuses(bed).count("replaying") == 0, 120, "all replays come to their end")


def kill(bed: Bed, tool: Role) -> None:
    """SIGKILL a tool; one that another one took over from has ended already."""
    if tool.process.poll() is None:
        tool.kill()
        bed.outcome.kills += 1
    bed.strike("SIGKILL replay", overlapped=True)


def statuses(bed: Bed) -> list[str]:
    """Return the newest status of each dead letter that has one."""
    found = {}
    for one in read_all(bed.bootstrap, bed.settings.dlq_status_topic):
        if (key := (one.key() or b"").decode()).count("/") == 2:
            found[key] = json.loads(one.value() or b"{}")["status"]
    return list(found.values())


def replaying(bed: Bed) -> int:
    """Return how many dead letters were ever sent back."""
    return len(statuses(bed))
