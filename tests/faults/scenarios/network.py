"""F8 to F10: what happens between clients and brokers, by a proxy that understands the protocol."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from tests.faults.bed import Bed
from tests.faults.frames import ADD_OFFSETS, ADD_PARTITIONS, END_TXN, TXN_OFFSET_COMMIT
from tests.faults.proxy import Proxy
from tests.faults.scenarios import scenario

#: The broker refuses an EndTxn of an older epoch: INVALID_PRODUCER_EPOCH.
OLD_EPOCH = 47


@contextmanager
def behind_proxy(bed: Bed, **settings: str) -> Iterator[Proxy]:
    """Have every client of the pipeline behind a proxy; the checker asks the brokers themselves."""
    with Proxy(bed.bootstrap) as proxy:
        bed.line.bootstrap = proxy.bootstrap
        bed.open(**settings)
        yield proxy
        bed.settle()


@scenario("F8")
def late_end_of_transaction(bed: Bed) -> None:
    """EndTxn held past a broken connection and released in the next transaction of the same id."""
    _late(bed)


@scenario("F8")
def late_end_epoch_per_transaction(bed: Bed) -> None:
    """The same with a new epoch for each transaction, which needs no timing."""
    _late(bed, EPOCH="per-transaction")


def _late(bed: Bed, **settings: str) -> None:
    with behind_proxy(bed, **settings) as proxy:
        bed.staff()
        bed.produce(int(bed.length(15_000, 30_000)))
        bed.flow()
        answers: list[int] = []
        while bed.producing:
            where = bed.chance.choice(
                [
                    {"before": ADD_OFFSETS},
                    {"after": ADD_OFFSETS},
                    {"after": ADD_PARTITIONS},
                    {"after": TXN_OFFSET_COMMIT},
                ]
            )
            late = proxy.late(times=bed.chance.randint(1, 3), into_next=True, **where)
            if late.wait(10) and (code := late.result(10)) is not None:
                answers.append(code)
                bed.strike("EndTxn late, in the next transaction", True)
            late.stop()
            bed.keep()
        if OLD_EPOCH not in answers:
            bed.outcome.problems.append(f"no late EndTxn was refused for its epoch: {answers}")
        bed.outcome.notes["answers to late EndTxn"] = {str(code): answers.count(code) for code in set(answers)}


@scenario("F9")
def connections_cut(bed: Bed) -> None:
    """Connections cut, one broker and all, refused for seconds, and a slow and lossy network."""
    _cut(bed)


@scenario("F9", brokers=3)
def connections_cut_three_brokers(bed: Bed) -> None:
    """The same with three brokers, most of the time to one of them."""
    _cut(bed, None, 1, 2, 3)


def _cut(bed: Bed, *brokers: int | None) -> None:
    with behind_proxy(bed) as proxy:
        bed.staff()
        bed.produce(int(bed.length(15_000, 40_000)))
        bed.flow()
        while bed.producing:
            kind, one = bed.chance.choice(("cut", "cut", "down", "slow")), bed.chance.choice(brokers or (None,))
            which = "all brokers" if one is None else "one broker"
            if kind == "cut":
                bed.fire(f"connections to {which} cut", partial(proxy.cut, one))
            elif kind == "down":
                bed.fire(f"connections to {which} refused", partial(proxy.down, bed.chance.uniform(1, 4), one))
            else:
                seconds = bed.chance.uniform(3, 6)
                bed.fire("slow and lossy", lambda seconds=seconds: proxy.slow(
                    0.05, 0.05, 0.3, seconds, bed.chance, reset_chance=0.002))  # fmt: skip
                bed.pass_time(seconds)
            bed.pass_time(bed.chance.uniform(0.2, 1.5))
            bed.flow(50)


@scenario("F10")
def answer_lost(bed: Bed) -> None:
    """The answer to EndTxn is lost after the broker has applied it; once for longer than anybody waits."""
    with behind_proxy(bed) as proxy:
        bed.staff(consume=1, retry=1)
        bed.produce(int(bed.length(25_000, 40_000)))
        bed.flow()
        for mute in (0, 0, 14):
            lost = proxy.lose_answer(END_TXN, bed.names.main_group if mute else "", times=2, mute_seconds=mute)
            assert lost.wait(20), "no EndTxn came by"
            bed.strike("answer to EndTxn lost" + (f" for {mute} s" if mute else ""), True)
            if mute:
                bed.pass_time(mute)
            lost.stop()
            bed.flow(200)
