"""The tour in each format: the four commands, failures, retries, dead letters looked at, edited, replayed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from kafka_orders.app import App
from kafka_orders.formats.base import KINDS, Kind
from kafka_orders.formats.choice import contract_format
from kafka_orders.views.verify import Verdict, verify
from tests.support.browsing import browser
from tests.support.deadletters import statuses
from tests.support.pipeline import MAIN, PRODUCER, RETRY, VIEWER, Pipeline
from tests.support.serving import serve
from tests.support.waiting import eventually
from tests.support.witness import read_all

pytestmark = pytest.mark.broker

COUNT = 60
CONTENT_TYPES = {"json": b"application/json", "protobuf": b"application/protobuf"}


def told(line: Pipeline, *command: str) -> list[dict]:
    done = line.run(*command, "-o", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def settled(line: Pipeline, handled: int) -> Verdict:
    def judged(*, deep: bool) -> Verdict:
        job = App().job(line.settings())
        return verify(line.settings(), job.decode, deep=deep, contract=job.contract)

    def quiet() -> bool:
        found = judged(deep=False)
        return found.unread == found.waiting == 0 and found.counted + found.dead == handled

    eventually(quiet, 60, f"{handled} orders counted or dead")
    found = judged(deep=True)
    assert found.findings == []
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_tour(line: Pipeline, tmp_path: Path, kind: Kind) -> None:
    """As a presenter and an operator walk it; the same story, whatever the bytes are."""
    line.extra.update(FORMAT=kind, RATE="0", COUNT=str(COUNT), SEED="7", RETRY_DELAY_MS="100", MAX_RETRIES="1")
    viewer, main = line.start(*VIEWER), line.start(*MAIN, FAIL="Item3")
    retry = line.start(*RETRY, FAIL="Item3")
    main.says("restored")
    assert line.start(*PRODUCER).process.wait(60) == 0
    dead = settled(line, COUNT).dead
    assert 0 < dead < COUNT
    viewer.says("'product': 'Item3'")
    assert "<could not decode>" not in viewer.text()
    assert retry.stop() == 0
    line.start(*RETRY).says("restored")  # mended

    form = contract_format(kind)
    records = read_all(line.bootstrap, line.settings().topic)
    assert {dict(one.headers() or []).get("content-type") for one in records} == {CONTENT_TYPES.get(kind)}
    assert len({form.decode(one.value() or b"")["orderId"] for one in records}) == COUNT
    letters = told(line, "dlq", "list")
    assert {one["product"] for one in letters} == {"Item3"}
    assert [(one["letters"], one["products"]) for one in told(line, "dlq", "groups")] == [(dead, 1)]
    assert "Item3" in line.run("dlq", "show", letters[0]["id"]).stdout
    look_at_the_page(line)
    edited = line.run("dlq", "edit", "--id", letters[0]["id"], "--set", "price=price + 1000", "--yes")
    assert edited.returncode == 0, edited.stderr
    exported = tmp_path / "letters.jsonl"
    assert line.run("dlq", "export", "--product", "Item3", str(exported)).returncode == 0
    assert exported.read_text().count("\n") == dead
    replayed = line.run("dlq", "replay", "--product", "Item3")
    assert replayed.returncode == 0, replayed.stderr
    eventually(lambda: statuses(line) == {"resolved": dead}, 30, "all are resolved")
    highest = max(one["max"] for one in told(line, "averages"))
    assert highest > 1000
    done = line.run("verify", "--deep")
    assert done.returncode == 0, done.stdout + done.stderr
    assert main.stop() == 0


def look_at_the_page(line: Pipeline) -> None:
    """Its report, its API and its table know the orders."""
    served = serve(line)
    assert {one["product"] for one in served.get("/api/v1/dlq/messages")["letters"]} == {"Item3"}
    with browser() as chromium:
        page = chromium.new_page()
        page.goto(served.url)
        page.get_by_role("tab", name="Dead letters", exact=True).click()
        expect(page.get_by_text("Item3").first).to_be_visible(timeout=20_000)
    assert served.role.stop() == 0
