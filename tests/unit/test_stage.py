"""Knobs and cues: what a page turns, and how it asks the process that owns the roles."""

from __future__ import annotations

import random
import socket
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from pathlib import Path

import pytest

from kafka_orders.domain.errors import KafkaOrdersError
from kafka_orders.pipeline.knobs import Knobs, Setting
from kafka_orders.stage.cues import ADDRESS, SECRET, Actor, CueListener, RemoteStage, StageState


def test_knobs_are_looked_at_four_times_a_second(tmp_path: Path) -> None:
    path, now = tmp_path / "main.json", [0.0]
    knobs = Knobs(str(path), lambda: now[0])
    assert knobs.now() == Setting(), "no file, no knobs"
    Setting(5.0, {"Item1": 0.5}, 20).write(path)
    assert knobs.now() == Setting()
    now[0] = 0.25
    assert knobs.now() == Setting(5.0, {"Item1": 0.5}, 20)
    path.write_text("{ half")
    now[0] = 1.0
    assert knobs.now() == Setting(5.0, {"Item1": 0.5}, 20), "a broken file changes nothing"


def test_a_share_of_orders_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Setting(None, {"Item3": 0.3, "Item4": 1.0}).write(tmp_path / "main.json")
    done: list[str] = []
    handler = Knobs(str(tmp_path / "main.json")).before("product", lambda order: done.append(order["product"]))
    source = random.Random(1)
    monkeypatch.setattr(random, "random", source.random)
    failed = 0
    for _ in range(1_000):
        handler({"product": "Item1"})
        for product in ("Item3", "Item4"):
            try:
                handler({"product": product})
            except RuntimeError as error:
                assert str(error) == "Simulated temporary error"
                failed += product == "Item3"
    assert done.count("Item1") == 1_000
    assert done.count("Item4") == 0
    assert 250 < failed < 350
    assert done.count("Item3") == 1_000 - failed


def served(action: str, told: tuple[str | float, ...]) -> object:
    if action == "state":
        return StageState((Actor("main", "main", 7, running=True),), 3.0, {"Item3": 0.5}, broker=True)
    if action == "kill":
        return f"{told[0]} was killed"
    if action == "break":
        raise ZeroDivisionError("by zero")
    raise KafkaOrdersError("nothing here can do that")


@pytest.fixture
def listener():
    made = CueListener(served)
    yield made
    made.close()


def test_cues_are_answered(listener: CueListener, monkeypatch: pytest.MonkeyPatch) -> None:
    assert RemoteStage.of_environment() is None
    for name, value in listener.environment.items():
        monkeypatch.setenv(name, value)
    stage = RemoteStage.of_environment()
    assert stage is not None
    assert stage.state().actors[0].name == "main"
    assert stage.do("kill", "main") == "main was killed"
    with pytest.raises(KafkaOrdersError, match="nothing here can"):
        stage.do("fly")
    with pytest.raises(KafkaOrdersError, match="ZeroDivisionError"):
        stage.do("break")
    assert stage.state().rate == 3.0, "and it goes on"


def test_without_the_secret_nobody_is_heard(listener: CueListener) -> None:
    address = listener.environment[ADDRESS]
    with pytest.raises((AuthenticationError, EOFError, OSError)):
        Client(address, authkey=b"guessed").recv()
    stage = RemoteStage(address, listener.environment[SECRET])
    assert stage.do("kill", "x") == "x was killed", "and the listener goes on"


def test_an_ended_stage_is_told(listener: CueListener) -> None:
    stage = RemoteStage("/nowhere/at/all", listener.environment[SECRET])
    with pytest.raises(KafkaOrdersError, match="it has ended"):
        stage.state()


def test_a_page_that_dies_while_it_asks_ends_nothing(listener: CueListener) -> None:
    """Killed while it starts, it leaves a connection without a handshake."""
    address = listener.environment[ADDRESS]
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(address)
    stage = RemoteStage(address, listener.environment[SECRET])
    assert stage.do("kill", "y") == "y was killed"
