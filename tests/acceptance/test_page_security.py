"""The page against strangers, in a real browser: payloads, other origins, other names, tokens, sizes."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import Producer
from playwright.sync_api import Browser, Page, expect

from kafka_orders.domain.errors import PermanentError
from kafka_orders.formats.avro import order_format
from kafka_orders.pipeline import upkeep
from tests.support.browsing import browser, shoot
from tests.support.deadletters import work
from tests.support.pipeline import Pipeline
from tests.support.serving import Served, serve

pytestmark = pytest.mark.broker

TOKEN = "a-token-of-many-letters"
#: Runs a script wherever it is taken for HTML, in each way that is common.
EVIL = "<img src=x onerror=window.pwned=1><script>window.pwned=1</script>"
TEMPLATE = "{{constructor.constructor('window.pwned=1')()}}"

expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


def refuse(_order: object) -> None:
    raise PermanentError(f"{EVIL} {TEMPLATE}")


@pytest.fixture
def served(line: Pipeline, tmp_path: Path) -> Served:
    """A server of a pipeline whose dead letters are scripts all over."""
    settings = line.settings()
    upkeep.create(settings, lambda _: None)
    producer = Producer({"bootstrap.servers": line.bootstrap})
    order = {"orderId": EVIL, "product": f"{EVIL} {TEMPLATE}", "price": 3.0}
    for key in (EVIL.encode(), b"\x00\xff\x1b[31m"):
        producer.produce(settings.topic, order_format().encode(order), key, headers=[(EVIL, EVIL.encode())])
    producer.flush()
    assert work(line, refuse, "main") == 2
    tokens = tmp_path / "tokens"
    tokens.write_text(f"alice:{TOKEN}")
    return serve(line, "--token-file", str(tokens), token=TOKEN)


def opened(chromium: Browser, served: Served) -> Page:
    page = chromium.new_page()
    page.on("dialog", lambda dialog: pytest.fail(f"a dialog: {dialog.message}"))
    page.goto(f"{served.url}/?token={TOKEN}")
    assert TOKEN not in page.url, "the token does not stay in the address"
    expect(page.locator(".at-figure-producer")).to_be_visible()
    return page


def test_payloads_are_text(chromium: Browser, served: Served, line: Pipeline) -> None:
    page = opened(chromium, served)
    page.get_by_role("tab", name="Dead letters").click()
    rows = page.locator(".at-table-letters tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("<img src=x onerror=")
    expect(page.locator(".at-table-groups")).to_contain_text("<img src=x onerror=")
    for number in range(2):
        rows.nth(number).locator("td").nth(2).click()
        expect(page.locator(".at-letter-error")).to_contain_text("<script>window.pwned=1</script>")
        expect(page.locator(".at-letter-payload")).to_contain_text("<img src=x onerror=")
        for name in ("Headers", "Stack", "What became of it"):
            page.get_by_text(name, exact=True).click()
        expect(page.locator(".at-letter-headers")).to_contain_text("<img src=x onerror=")
        page.wait_for_timeout(300)
        page.get_by_role("button", name="Close", exact=True).click()
        expect(page.locator(".at-letter-error")).to_have_count(0)
    page.locator(".at-table-groups tbody td").first.click()
    page.get_by_label("note about the chosen group").fill(f"{EVIL} {TEMPLATE}")
    page.get_by_role("button", name="Keep note").click()
    expect(page.locator(".at-table-groups")).to_contain_text("{{constructor")
    rows.first.locator("td").first.click()
    page.get_by_role("button", name="Edit ...").click()
    expect(page.get_by_label("order", exact=True)).to_have_value(re.compile("onerror"))
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Close", exact=True).click()
    shoot(page, "payloads-are-text")
    page.get_by_role("tab", name="Flow").click()
    work(line, lambda _order: None, "main", idle_polls=2)
    page.wait_for_timeout(2_500)
    assert page.evaluate("window.pwned") is None
    page.close()


def test_without_a_token_nothing_is_shown(chromium: Browser, served: Served) -> None:
    page = chromium.new_page()
    found = page.goto(served.url)
    assert found is not None
    assert found.status == 401
    assert "token" in page.inner_text("body")
    found = page.goto(f"{served.url}/?token=wrong")
    assert found is not None
    assert found.status == 401
    assert page.context.cookies() == []
    page.close()


def test_the_cookie_is_out_of_reach_of_scripts(chromium: Browser, served: Served) -> None:
    page = opened(chromium, served)
    assert page.evaluate("document.cookie") == ""
    (cookie,) = (one for one in page.context.cookies() if one["name"] == "kafka_orders_token")
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    page.close()


def test_another_hosts_name_is_refused(chromium: Browser, served: Served) -> None:
    """A browser takes any name under localhost for this machine, as rebinding would."""
    page = chromium.new_page()
    found = page.goto(served.url.replace("127.0.0.1", "rebound.localhost"))
    assert found is not None
    assert found.status == 421
    page.close()


def test_a_long_body_is_refused(chromium: Browser, served: Served) -> None:
    page = opened(chromium, served)
    status = page.evaluate(
        """async () => (await fetch('/api/v1/dlq/replays', {method: 'POST', body: 'x'.repeat(2_000_000),
           headers: {'content-type': 'application/json'}})).status"""
    )
    assert status == 413
    page.close()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    """A page of another origin."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("<h1>elsewhere</h1>")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "site"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()


_TRIES = """async (url) => {
    const tries = {};
    const post = async (mode, headers) => {
        try { const told = await fetch(url + '/api/v1/dlq/replays', {method: 'POST', mode, credentials: 'include',
              headers, body: JSON.stringify({everything: true})}); return told.type + ' ' + told.status; }
        catch (error) { return 'blocked'; } };
    tries.post = await post('cors', {'content-type': 'application/json'});
    tries.plain = await post('no-cors', {'content-type': 'text/plain'});
    tries.read = await fetch(url + '/api/v1/stats', {credentials: 'include'}).then(() => 'read', () => 'blocked');
    tries.socket = await new Promise((done) => {
        const where = url.replace('http', 'ws') + '/_nicegui_ws/socket.io/?EIO=4&transport=websocket';
        const socket = new WebSocket(where);
        socket.onopen = () => done('open'); socket.onerror = () => done('blocked'); });
    tries.frame = await new Promise((done) => {
        const frame = document.createElement('iframe'); frame.src = url; document.body.append(frame);
        frame.onload = () => { try { done(frame.contentDocument ? 'readable' : 'blocked'); }
                               catch (error) { done('blocked'); } };
        setTimeout(() => done('blocked'), 3000); });
    return tries; }"""


def test_a_page_of_another_origin_does_nothing(
    chromium: Browser, served: Served, elsewhere: str, line: Pipeline
) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{served.url}/?token={TOKEN}")  # the browser has the cookie now
    expect(page.locator(".at-figure-producer")).to_be_visible()
    page.goto(elsewhere)
    tries = page.evaluate(_TRIES, served.url)
    assert tries["post"] == "blocked"
    assert tries["read"] == "blocked"
    assert tries["socket"] == "blocked"
    assert tries["frame"] == "blocked"
    assert tries["plain"] in ("blocked", "opaque 0"), "sent, perhaps, but refused"
    assert served.get("/api/v1/dlq/replays")["jobs"] == []
    context.close()
