"""`consume --processes N`: one group, one terminal; a worker that dies comes back, and all stop together."""

from __future__ import annotations

import re
import signal

import psutil
import pytest

from kafka_orders.formats.opening import order_codec
from kafka_orders.views.verify import verify
from tests.support.pipeline import Pipeline, Role
from tests.support.waiting import eventually
from tests.support.witness import Journal, account

pytestmark = pytest.mark.broker


def workers(role: Role) -> list[psutil.Process]:
    return psutil.Process(role.process.pid).children()


def counted(line: Pipeline) -> int:
    return verify(line.settings(), order_codec().decode, deep=False).counted


def test_a_worker_that_dies_comes_back_and_all_stop_together(line: Pipeline) -> None:
    """Each has its own transactional.id; the figures are exact."""
    both = line.start("-m", "kafka_orders", "consume", "--processes", "2", FAIL="none")
    both.says("consume-1 | ")
    eventually(lambda: len(set(re.findall(r"(consume-\d) \| .*restored", both.text()))) == 2, 40, "both restored")
    assert len(set(re.findall(r"in group \S+ as (\S+)", both.text()))) == 2
    sent = Journal(line.bootstrap, line.settings().topic)
    sent.send(2000)
    sent.finish()
    workers(both)[0].kill()
    both.says("it starts again in 1 s")
    sent.send(2000)
    sent.finish()
    eventually(lambda: counted(line) == 4000, 60, "all counted")
    eventually(lambda: both.text().count("restored") >= 3, 30, "the dead one is back")
    assert len(workers(both)) == 2
    assert both.stop() == 0
    assert both.text().count("left the group") == 2
    result = account(sent, line.settings().averages_topic, line.settings().dlq_topic)
    assert (result.lost, result.doubled, result.wrong_sums) == (0, 0, [])


def test_no_worker_outlives_its_supervisor(line: Pipeline) -> None:
    """Killed or hung up, it leaves none behind that nobody sees; they finish their batch and leave the group."""
    for signal_ in ("SIGKILL", "SIGHUP"):
        both = line.start("-m", "kafka_orders", "consume", "--processes", "2")
        eventually(lambda both=both: both.text().count("restored") == 2, 40, "both restored")
        left = workers(both)
        both.process.send_signal(getattr(signal, signal_))
        assert both.process.wait(20) == (-9 if signal_ == "SIGKILL" else 0)
        eventually(lambda left=left: not any(one.is_running() for one in left), 20, "all have ended")


def test_what_cannot_work_is_said_once(line: Pipeline) -> None:
    """A handler that is not there: exit 2, and no worker is started."""
    done = line.run("consume", "--processes", "3", "--handler", "tests.acceptance.handlers:missing")
    assert done.returncode == 2
    assert done.stderr.count("cannot be loaded") == 1


def test_a_refusal_ends_all_with_its_code(line: Pipeline) -> None:
    """Exit 4: starting again would end the same way."""
    first = line.start("-m", "kafka_orders", "consume")
    first.says("restored")
    line.produce(20)
    eventually(lambda: counted(line) == 20, 30)
    assert first.stop() == 0
    done = line.run("consume", "--processes", "2", GROUP=f"{line.name}-other")
    assert done.returncode == 4
    assert "two pipelines need two averages topics" in done.stdout
    assert "all are stopped" in done.stderr
