"""The REST API of a real server on a real broker."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from kafka_orders.pipeline import upkeep
from tests.support.deadletters import accept, die, replays, statuses, work
from tests.support.pipeline import Pipeline
from tests.support.serving import Served, serve
from tests.support.waiting import eventually

pytestmark = pytest.mark.broker

TOKEN = "a-token-of-many-letters"


@pytest.fixture
def served(line: Pipeline) -> Iterator[Served]:
    """A server of a pipeline with 30 dead letters."""
    die(line, 30)
    tokens = line.home / "tokens"
    tokens.write_text(f"alice:{TOKEN}\n")
    yield serve(line, "--token-file", str(tokens), token=TOKEN)


def letters(served: Served, **query: object) -> list[dict]:
    """Walk all pages."""
    found, cursor = [], ""
    while cursor is not None:
        page = served.get("/api/v1/dlq/messages", cursor=cursor, **query)
        found += page["letters"]
        cursor = page["cursor"]
        assert page["scan_complete"] == (cursor is None)
    return found


def done(served: Served, job: str) -> dict:
    return eventually(lambda: (one := served.job(job))["state"] != "running" and one, 60, f"{job} ends")


def test_health_before_and_after_the_topics(line: Pipeline) -> None:
    one = serve(line)
    assert one.ask("GET", "/health/live").json() == {"status": "ok", "trouble": ""}
    not_yet = one.ask("GET", "/health/ready")
    assert not_yet.status_code == 503
    eventually(lambda: "does not exist" in one.ask("GET", "/health/ready").json()["trouble"], 20)
    upkeep.create(line.settings(), lambda _: None)
    eventually(lambda: one.ask("GET", "/health/ready").status_code == 200, 20)
    assert one.role.stop() == 0


def test_the_report_agrees_with_the_commands(line: Pipeline, served: Served) -> None:
    line.produce(40, seed=3)
    work(line, accept, "main")
    eventually(lambda: served.get("/api/v1/averages")["overall"]["count"] == 40, 20)
    told = json.loads(line.run("averages", "-o", "json").stdout)
    found = served.get("/api/v1/averages")
    assert [*found["products"], found["overall"]] == told
    stats = served.get("/api/v1/stats")
    assert "history" not in stats
    assert stats["letters"]["statuses"] == {"open": 30}
    assert sum(one["lag"] for one in served.get("/api/v1/lag") if one["topic"].endswith("orders")) == 0
    assert len(served.get("/api/v1/topics")["topics"]) == 5
    assert served.get("/api/v1/averages/history")[-1]["counted"] == 40
    groups = served.get("/api/v1/dlq/groups")
    assert [one["letters"] for one in groups] == [30]
    assert "kafka_orders_dlq_open_messages 30.0" in served.ask("GET", "/metrics").text


def test_events_are_reports_one_after_the_other(line: Pipeline, served: Served) -> None:
    told = {"authorization": f"Bearer {TOKEN}"}
    with httpx.stream("GET", f"{served.url}/api/v1/events", headers=told, timeout=30) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        data = (one for one in stream.iter_lines() if one.startswith("data: "))
        first, second = (json.loads(next(data).removeprefix("data: ")) for _ in range(2))
    assert 0 <= first["at_ms"] < second["at_ms"]


def test_pages_are_whole_and_the_newest_first(line: Pipeline, served: Served) -> None:
    for limit in (1, 7, 30, 500):
        found = letters(served, limit=limit)
        assert len({one["id"] for one in found}) == len(found) == 30
    first, last = (datetime.fromisoformat(found[at]["failed_at"]) for at in (0, -1))
    # By the time of their records: what a batch sends, it sends some milliseconds after each failed.
    assert first >= last - timedelta(seconds=1)
    product = Counter(one["product"] for one in found).most_common(1)[0]
    assert len(letters(served, limit=3, product=product[0])) == product[1]
    assert letters(served, status="resolved") == []
    assert len(letters(served, q="SHOP IS CLOSED")) == 30
    one = served.get(f"/api/v1/dlq/messages/{found[5]['id']}")
    assert (one["id"], one["status"], one["payload"]["kind"]) == (found[5]["id"], "open", "own")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/v1/dlq/messages/nowhere/0/1", None, 404),
        ("GET", "/api/v1/dlq/messages?cursor=nonsense", None, 422),
        ("GET", "/api/v1/dlq/messages?limit=0", None, 422),
        ("GET", "/api/v1/dlq/messages?status=lost", None, 422),
        ("GET", "/api/v1/dlq/messages?since=yesterday", None, 422),
        ("GET", "/api/v1/dlq/messages?q=" + 1001 * "x", None, 422),
        ("GET", "/api/v1/dlq/messages?group=" + 1500 * "x", None, 422),
        ("GET", "/api/v1/dlq/messages?cursor=" + base64.urlsafe_b64encode(7_000 * b"[").decode(), None, 422),
        ("PUT", "/api/v1/dlq/groups/a%20b/note", {"text": "x"}, 404),
        ("GET", "/api/v1/dlq/replays/none", None, 404),
        ("GET", "/api/v1/nothing", None, 404),
        ("DELETE", "/api/v1/stats", None, 405),
        ("POST", "/api/v1/dlq/replays", {}, 422),
        ("POST", "/api/v1/dlq/replays", {"filter": {"produkt": "x"}}, 422),
        ("POST", "/api/v1/dlq/replays", {"filter": {"key": "x"}, "to": "orders_averages"}, 422),
        ("POST", "/api/v1/dlq/discards", {"filter": {"key": "x"}}, 422),
        ("POST", "/api/v1/dlq/discards", {"filter": {}, "reason": "all of them"}, 422),
        ("POST", "/api/v1/dlq/edits", {"filter": {"key": "x"}, "set": ["nothing=1"]}, 422),
        ("POST", "/api/v1/dlq/edits", {"filter": {"key": "x"}}, 422),
        ("POST", "/api/v1/dlq/replays/none/cancel", None, 404),
    ],
)
def test_what_cannot_be_done_is_a_problem(
    shared: Served, method: str, path: str, body: object, status: int
) -> None:
    found = shared.ask(method, path, json=body)
    assert found.status_code == status, found.text
    assert found.headers["content-type"] == "application/problem+json"
    assert found.json()["status"] == status
    assert found.json()["detail"]


@pytest.fixture(scope="module")
def shared(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for requests that change nothing; the names are the contract's own."""
    line = Pipeline(bootstrap, tmp_path_factory.mktemp("shared"), extra={"AVERAGES_TOPIC": "orders_averages"})
    die(line, 3)
    yield serve(line)
    line.close()


def test_a_replay_from_202_to_resolved(line: Pipeline, served: Served) -> None:
    asked = {"filter": {"statuses": ["open"]}, "everything": True, "max": 10, "reason": "the shop is open again"}
    told = served.post("/api/v1/dlq/replays", {**asked, "dry_run": True}, 200)
    assert (told["total"], sum(told["targets"].values())) == (10, 10)
    told = served.post("/api/v1/dlq/replays", {**asked, "predict": True}, 200)
    assert (told["tried"], told["would_pass"], told["would_fail"]) == (10, 10, {})
    assert statuses(line) == {}, "telling changes nothing"
    begun = served.ask("POST", "/api/v1/dlq/replays", json=asked)
    assert begun.status_code == 202
    job = begun.json()["id"]
    assert begun.headers["location"] == f"/api/v1/dlq/replays/{job}"
    ended = done(served, job)
    assert (ended["state"], ended["done"], ended["total"], ended["author"]) == ("done", 10, 10, "alice")
    assert work(line, accept, "retry") == 10
    eventually(lambda: served.get("/api/v1/stats")["letters"]["statuses"].get("resolved") == 10, 20)
    assert len(letters(served, status="resolved")) == 10
    one = letters(served, status="open")[0]["id"]
    served.post(f"/api/v1/dlq/messages/{one}/replay", {}, 202)
    eventually(lambda: statuses(line).get("replaying") == 1, 20)


def test_a_key_pressed_five_times_is_one_job(line: Pipeline, served: Served) -> None:
    asked, key = (
        {"filter": {"statuses": ["open"], "since": "2h"}, "everything": True, "reason": "once"},
        {"idempotency-key": "k-1"},
    )

    def press(_: int) -> str:
        return served.post("/api/v1/dlq/replays", asked, 202, headers=key)["id"]

    with ThreadPoolExecutor(5) as pool:
        jobs = set(pool.map(press, range(5)))
    assert len(jobs) == 1
    done(served, jobs.pop())
    assert set(replays(line).values()) == {1}
    assert len(replays(line)) == 30
    served.post("/api/v1/dlq/replays", {**asked, "reason": "other"}, 409, headers=key)
    served.role.stop()
    again = serve(line)
    found = again.ask("POST", "/api/v1/dlq/replays", json=asked, headers=key)
    assert found.status_code == 202
    assert len(replays(line)) == 30, "a restart remembers"


def test_cancel_here_and_elsewhere(line: Pipeline, served: Served) -> None:
    slow = {"filter": {"statuses": ["open"]}, "everything": True, "rate": 3}
    job = served.post("/api/v1/dlq/replays", slow, 202)["id"]
    eventually(lambda: served.job(job)["done"] > 0, 30)
    served.post(f"/api/v1/dlq/replays/{job}/cancel", None, 200)
    ended = done(served, job)
    assert ended["state"] == "cancelled"
    assert 0 < ended["done"] < 30
    served.post(f"/api/v1/dlq/replays/{job}/cancel", None, 409)
    sent = len(replays(line))
    assert line.run("dlq", "replay", "--resume", job).returncode == 0
    assert len(replays(line)) == 30 > sent, "a resume goes on where it was"
    die(line, 20)
    other = line.start("-m", "kafka_orders", "dlq", "replay", "--status", "open", "--rate", "2", "--quiet")
    running = eventually(
        lambda: next(
            (one for one in served.get("/api/v1/dlq/replays")["jobs"] if one["state"] == "running"), None
        ),
        30,
    )
    served.post(f"/api/v1/dlq/replays/{running['id']}/cancel", None, 200)
    assert other.process.wait(30) == 4
    assert "was cancelled by somebody else" in other.text()
    assert set(replays(line).values()) == {1}


def test_a_resume_keeps_to_the_most_that_was_said(line: Pipeline, served: Served) -> None:
    asked = {"filter": {"statuses": ["open"]}, "everything": True, "rate": 5, "max": 12}
    job = served.post("/api/v1/dlq/replays", asked, 202)["id"]
    eventually(lambda: served.job(job)["done"] >= 3, 30)
    served.post(f"/api/v1/dlq/replays/{job}/cancel", None, 200)
    assert line.run("dlq", "replay", "--resume", job).returncode == 0
    assert len(replays(line)) == 12


def test_a_server_killed_in_a_replay_doubles_nothing(line: Pipeline, served: Served) -> None:
    job = served.post(
        "/api/v1/dlq/replays", {"filter": {"statuses": ["open"]}, "everything": True, "rate": 20}, 202
    )["id"]
    eventually(lambda: served.job(job)["done"] > 0, 30)
    served.role.kill()
    assert len(replays(line)) < 30
    assert line.run("dlq", "replay", "--resume", job).returncode == 0
    assert (len(replays(line)), set(replays(line).values())) == (30, {1})


def test_discard_restore_note_edit_and_their_audit(line: Pipeline, served: Served) -> None:
    found = letters(served)
    one, other = found[0]["id"], found[1]["id"]
    served.post(f"/api/v1/dlq/messages/{one}/discard", {}, 422)
    told = served.post(f"/api/v1/dlq/messages/{one}/discard", {"reason": "a test"}, 200)
    assert (told["marked"], told["passed_over"]) == (1, {})
    assert served.post(f"/api/v1/dlq/messages/{one}/discard", {"reason": "again"}, 200)["marked"] == 0
    assert served.post("/api/v1/dlq/restores", {"filter": {"ids": [one]}}, 200)["marked"] == 1
    group = served.get("/api/v1/dlq/groups")[0]["fingerprint"]
    assert served.ask("PUT", f"/api/v1/dlq/groups/{group}/note", json={"text": "call"}).status_code == 204
    eventually(lambda: served.get("/api/v1/dlq/groups")[0]["note"] == "call", 20)
    change = {"set": ["price=price+1"]}
    shown = served.post(f"/api/v1/dlq/messages/{other}/edit-preview", change, 200)
    assert shown["changing"] == 1
    assert shown["samples"][0]["fields"][0].startswith("price: ")
    served.post(f"/api/v1/dlq/messages/{other}/edit-replay", {"set": ["price=price"]}, 422)
    job = served.post(f"/api/v1/dlq/messages/{other}/edit-replay", {**change, "reason": "too low"}, 202)["id"]
    assert done(served, job)["done"] == 1
    whole = {"order": {"orderId": "x", "product": "Item9", "price": "much"}}
    assert served.post(f"/api/v1/dlq/messages/{one}/edit-preview", whole, 200)["changing"] == 0
    assert served.post("/api/v1/dlq/edits", {"filter": {"key": "nobody"}, **change, "dry_run": True}, 200) == {
        "changing": 0, "refused": {}, "samples": []
    }  # fmt: skip
    entries = served.get("/api/v1/audit")["entries"]
    pages, before = [], ""
    while page := served.get("/api/v1/audit", limit=2, before=before)["entries"]:
        pages += page
        before = page[-1]["id"]
    assert pages == entries, "page by page it is the same"
    assert {one["author"] for one in entries} == {"alice"}
    assert Counter(one["action"] for one in entries) == {"discard": 2, "restore": 1, "note": 1, "edit": 1}


def test_read_only_changes_nothing(line: Pipeline, served: Served) -> None:
    one, closed = letters(served)[0]["id"], serve(line, "--read-only")
    for path, body in (
        ("/api/v1/dlq/replays", {"filter": {"key": "x"}}),
        ("/api/v1/dlq/discards", {"filter": {"key": "x"}, "reason": "y"}),
        (f"/api/v1/dlq/messages/{one}/replay", {}),
        (f"/api/v1/dlq/messages/{one}/restore", {}),
    ):
        assert "read-only" in closed.post(path, body, 409)["detail"]
    assert closed.ask("PUT", "/api/v1/dlq/groups/x/note", json={"text": "y"}).status_code == 409
    assert statuses(line) == {}
    assert served.get("/api/v1/audit")["entries"] == []


def test_what_is_not_served(line: Pipeline, tmp_path: Path) -> None:
    upkeep.create(line.settings(), lambda _: None)
    named = line.run("serve", "--allow-host", "orders.example", "--port", "0")
    assert (named.returncode, "--token-file" in named.stderr) == (2, True)
    open_to_all = line.run("serve", "--host", "0.0.0.0", "--port", "0")
    assert (open_to_all.returncode, "--token-file" in open_to_all.stderr) == (2, True)
    for number, text in enumerate(("short", "", "alice:this;is;no;token;at;all")):
        file = tmp_path / f"tokens-{number}"
        file.write_text(text)
        assert line.run("serve", "--token-file", str(file)).returncode == 2
    one = serve(line)
    port = one.url.rpartition(":")[2]
    taken = line.run("serve", "--port", port)
    assert (taken.returncode, "cannot be used" in taken.stderr) == (2, True)


def test_without_a_broker_it_says_so(tmp_path: Path) -> None:
    line = Pipeline("127.0.0.1:1", tmp_path)
    found = line.run("serve", "--port", "0")
    assert found.returncode == 3
    assert "no Kafka broker answers" in found.stderr
