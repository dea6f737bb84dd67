"""The page in a real browser, on `up` with a broker of its own: all that a presenter and an operator can do."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from kafka_orders.local.checks import free_ports
from tests.conftest import CACHE
from tests.support.browsing import browser, shoot
from tests.support.pipeline import Pipeline, Role
from tests.support.waiting import eventually

pytestmark = pytest.mark.broker

expect.set_options(timeout=20_000)


class Up:
    """`up` with its page."""

    def __init__(self, line: Pipeline, role: Role, url: str) -> None:
        self.line, self.role, self.url = line, role, url

    def stats(self) -> dict:
        with urllib.request.urlopen(f"{self.url}/api/v1/stats", timeout=10) as answer:
            return json.load(answer)

    def pid(self, name: str) -> int | None:
        """Return the process of a role, by its knobs' file, which only it has."""
        for child in psutil.Process(self.role.process.pid).children(recursive=True):
            with psutil.Process(child.pid).oneshot():
                if f"/{name}.json" in child.environ().get("KAFKA_ORDERS_KNOBS", ""):
                    return child.pid
        return None


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def up(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    home = tmp_path_factory.mktemp("up")
    broker, port = free_ports(2)
    line = Pipeline(f"127.0.0.1:{broker}", home, extra={"CACHE": str(CACHE), "RETRY_DELAY_MS": "300"})
    role = line.start("-m", "kafka_orders", "up", "--rate", "20", "--port", str(port))
    try:
        role.says("shows the pipeline", within=120)
        made = Up(line, role, f"http://127.0.0.1:{port}")
        eventually(lambda: answers(made) and made.stats()["flow"]["counted"] > 0, 60)
        yield made
        assert role.stop(within=60) == 0
    finally:
        line.close()


@pytest.fixture
def page(chromium: Browser, up: Up) -> Iterator[Page]:
    """A page that has nothing to complain about: no script error, no request elsewhere."""
    opened, wrong = chromium.new_page(viewport={"width": 1400, "height": 900}), []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    opened.on("request", lambda asked: wrong.append(asked.url) if "127.0.0.1" not in asked.url
              and asked.url.startswith(("http", "ws")) else None)  # fmt: skip
    opened.goto(up.url)
    expect(opened.locator(".at-figure-producer")).to_be_visible()
    yield opened
    assert wrong == []
    opened.close()


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def number(page: Page, figure: str) -> float:
    return float(re.sub(r"[^\d.]", "", page.locator(f".at-figure-{figure}").first.inner_text()) or 0)


def grows(read: Callable[[], float], within: float = 20.0) -> None:
    before = read()
    eventually(lambda: read() > before, within, f"more than {before}")


def turn(page: Page, slider: str, key: str) -> None:
    """Turn a knob to its end, by keyboard, as fast as keys come."""
    knob = page.get_by_role("slider", name=slider)
    knob.locator(".q-slider__track-container").focus()
    for _ in range(20):
        page.keyboard.press(key)
    end = {"ArrowLeft": "0", "ArrowRight": "100"}[key]
    expect(knob).to_have_attribute("aria-valuenow", end)


def button(page: Page, name: str):
    return page.get_by_role("button", name=name, exact=True)


def test_numbers_move_and_agree_with_the_api(page: Page, up: Up) -> None:
    grows(lambda: number(page, "counted-exactly-once"))
    grows(lambda: number(page, "orders"))
    expect(page.locator(".pipe.moving").first).to_be_visible()
    expect(page.locator(".at-chart-averages canvas")).to_be_visible()
    told = up.stats()
    assert abs(number(page, "running-average") - told["overall"]["average"]) < 100


@pytest.mark.timed
def test_first_paint_is_quick_with_a_warm_server(chromium: Browser, up: Up) -> None:
    seconds = []
    for _ in range(3):
        opened = chromium.new_page()
        began = time.monotonic()
        opened.goto(up.url)
        expect(opened.locator(".at-figure-producer")).to_be_visible()
        seconds.append(time.monotonic() - began)
        opened.close()
    assert min(seconds) < 2.0, seconds


def test_a_presenter_makes_orders_fail_and_letters_are_worked_off(page: Page, up: Up) -> None:
    """Slider up, dead letters come; slider down; filter, show, edit, replay: they turn resolved."""
    tab(page, "Stage")
    turn(page, "share of Item3 that fails", "ArrowRight")
    eventually(lambda: up.stats()["letters"]["statuses"].get("open", 0) >= 5, 60)
    turn(page, "share of Item3 that fails", "ArrowLeft")
    eventually(lambda: up.stats()["flow"]["waiting"] == 0, 60)

    tab(page, "Dead letters")
    page.get_by_role("textbox", name="product").fill("Item3")
    button(page, "Find").click()
    rows = page.locator(".at-table-letters tbody tr")
    expect(rows.first).to_contain_text("Simulated temporary error")
    page.get_by_role("textbox", name="product").fill("Item1")
    button(page, "Find").click()
    expect(rows).to_have_count(0)
    page.get_by_role("textbox", name="product").fill("")
    page.get_by_label("text in error or order").fill("SIMULATED")
    button(page, "Find").click()
    expect(rows.first).to_be_visible()

    rows.first.locator("td").nth(2).click()
    expect(page.locator(".at-letter-error")).to_contain_text("Simulated temporary error")
    expect(page.locator(".at-letter-payload")).to_contain_text('"product": "Item3"')
    shoot(page, "letter")
    button(page, "Close").click()

    before = up.stats()["letters"]["statuses"]
    resolved = before.get("resolved", 0)
    edit_the_first(page)
    eventually(lambda: up.stats()["letters"]["statuses"].get("resolved", 0) == resolved + 1, 60, "the edited one")
    replay_all(page)
    # One that died just after the figures were read is replayed, too.
    eventually(lambda: up.stats()["letters"]["statuses"].keys() <= {"resolved", "discarded"}, 60)
    assert up.stats()["letters"]["statuses"]["resolved"] >= resolved + before["open"]
    expect(page.locator(".at-jobs")).to_contain_text("done")
    tab(page, "Dead letters")
    page.get_by_role("combobox", name="status").click()
    page.get_by_role("option", name="resolved").click()
    button(page, "Find").click()
    expect(rows.first).to_contain_text("resolved")
    shoot(page, "letters-resolved")


def edit_the_first(page: Page) -> None:
    page.locator(".at-table-letters tbody tr").first.locator("td").first.click()
    button(page, "Edit ...").click()
    text = page.get_by_label("order", exact=True)
    order = json.loads(text.input_value())
    text.fill("{ not JSON")
    button(page, "Preview").click()
    expect(page.get_by_text("this is not JSON")).to_be_visible()
    order["price"] = 12.5
    text.fill(json.dumps(order))
    button(page, "Preview").click()
    expect(page.locator(".at-preview")).to_contain_text("-> 12.5")
    button(page, "Send").click()
    expect(page.locator(".at-editing")).to_have_count(0)


def replay_all(page: Page) -> None:
    button(page, "Replay ...").click()
    dialog = page.locator(".at-replaying")
    expect(dialog).to_contain_text("to t-")
    button(page, "Predict").click()
    expect(dialog).to_contain_text("would pass now")
    dialog.get_by_label("reason").fill("healed")
    button(page, "Send").click()
    expect(dialog).to_have_count(0)


def test_groups_notes_discard_and_restore(page: Page, up: Up) -> None:
    tab(page, "Stage")
    turn(page, "share of Item2 that fails", "ArrowRight")
    eventually(lambda: up.stats()["letters"]["statuses"].get("open", 0) >= 3, 60)
    turn(page, "share of Item2 that fails", "ArrowLeft")
    tab(page, "Dead letters")
    groups = page.locator(".at-table-groups tbody tr")
    groups.first.locator("td").first.click()
    page.get_by_label("note about the chosen group").fill("call the shop")
    button(page, "Keep note").click()
    expect(groups.first).to_contain_text("call the shop")
    rows = page.locator(".at-table-letters tbody tr")
    expect(rows.first).to_contain_text("open")
    rows.first.locator("td").first.click()
    button(page, "Discard").click()
    expect(page.get_by_text("is given up for a reason")).to_be_visible()
    page.get_by_label("reason").fill("a test")
    button(page, "Discard").click()
    expect(page.get_by_text("1 discarded")).to_be_visible()
    page.get_by_role("combobox", name="status").click()
    page.get_by_role("option", name="discarded").click()
    button(page, "Find").click()
    expect(rows).to_have_count(1)
    rows.first.locator("td").first.click()
    button(page, "Restore").click()
    expect(page.get_by_text("1 restored")).to_be_visible()
    told = json.load(urllib.request.urlopen(f"{up.url}/api/v1/audit", timeout=10))
    assert {"note", "discard", "restore"} <= {one["action"] for one in told["entries"]}


def test_a_consumer_is_killed_and_recovers_slowed_and_added(page: Page, up: Up) -> None:
    tab(page, "Stage")
    main = page.locator(".at-actor-main")
    before = up.pid("main")
    main.get_by_role("button", name="Kill").click()
    expect(main).to_contain_text("dead")
    assert before is not None
    assert not psutil.pid_exists(before) or psutil.Process(before).status() == psutil.STATUS_ZOMBIE
    main.get_by_role("button", name="Start").click()
    expect(main).to_contain_text("runs")
    counted = up.stats()["flow"]["counted"]
    eventually(lambda: up.stats()["flow"]["counted"] > counted, 60, "it goes on counting")
    button(page, "Add main").click()
    expect(page.locator(".at-actor-main-2")).to_contain_text("runs")
    eventually(lambda: len(up.stats()["groups"][0]["members"]) == 2, 60)
    main.get_by_role("button", name="Slow").click()
    expect(main).to_contain_text("50 ms an order")
    main.get_by_role("button", name=re.compile("Normal")).click()
    expect(main.get_by_role("button", name="Slow")).to_be_visible()
    turn(page, "orders a second", "ArrowLeft")
    eventually(lambda: up.stats()["flow"]["written_per_second"] < 5, 30)


def test_the_page_may_be_killed_at_any_time(up: Up) -> None:
    pages = [one for one in psutil.Process(up.role.process.pid).children(recursive=True)
             if "serve" in one.cmdline() and "-m" in one.cmdline()]  # fmt: skip
    assert len(pages) == 1
    running = up.pid("main"), up.pid("retry"), up.pid("producer")
    pages[0].kill()
    up.role.says("is started again", within=30)
    eventually(lambda: answers(up), 60)
    assert (up.pid("main"), up.pid("retry"), up.pid("producer")) == running


def answers(up: Up) -> bool:
    try:
        return bool(up.stats()["at_ms"])
    except OSError:
        return False


def test_the_broker_is_killed_and_restarted_and_all_is_proved(page: Page, up: Up) -> None:
    tab(page, "Stage")
    button(page, "Kill broker").click()
    expect(page.get_by_text("the broker was killed (SIGKILL); everything waits for it").first).to_be_visible()
    expect(page.locator(".at-trouble")).to_contain_text("This is old", timeout=40_000)
    button(page, "Start broker").click()
    expect(page.get_by_text("the broker was started again").first).to_be_visible(timeout=60_000)
    expect(page.locator(".at-trouble")).to_be_hidden(timeout=60_000)
    grows(lambda: up.stats()["flow"]["counted"], within=60)
    button(page, "Prove it").click()
    expect(page.get_by_text("It holds", exact=True)).to_be_visible(timeout=60_000)
    expect(page.locator(".at-verdict-sentence")).to_contain_text("0 lost, 0 doubled")
    shoot(page, "proved")


def test_captions_by_keyboard_and_large_type(page: Page) -> None:
    tab(page, "Stage")
    expect(page.get_by_role("status").first).to_contain_text("1/8")
    page.keyboard.press("PageDown")
    expect(page.get_by_role("status").first).to_contain_text("2/8")
    page.keyboard.press("PageUp")
    expect(page.get_by_role("status").first).to_contain_text("1/8")
    figure = page.locator(".at-figure-orders")
    expect(figure).to_have_count(1)  # the other tab's has gone
    small = figure.evaluate("one => parseFloat(getComputedStyle(one).fontSize)")
    page.get_by_role("switch", name="large type").click()
    expect(page.locator("body")).to_have_class(re.compile("presenting"))
    large = figure.evaluate("one => parseFloat(getComputedStyle(one).fontSize)")
    assert large > 1.3 * small


def test_tabs_are_reached_by_keyboard_alone(page: Page) -> None:
    page.get_by_role("tab", name="Flow").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="product")).to_be_visible()


@pytest.mark.parametrize(
    ("name", "scheme", "width", "height"),
    [("light", "light", 1400, 900), ("dark", "dark", 1400, 900), ("projector", "light", 1024, 768),
     ("phone", "dark", 420, 900)],
)  # fmt: skip
def test_pictures(chromium: Browser, up: Up, name: str, scheme: str, width: int, height: int) -> None:
    """Kept in build/screenshots, to be looked at; nothing is wider than its screen."""
    opened = chromium.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
    opened.goto(up.url)
    for each in ("Flow", "Dead letters", "Health", "Stage"):
        tab(opened, each)
        opened.wait_for_timeout(1_200)  # a chart is drawn every other second
        shot = shoot(opened, f"{name}-{each.lower().replace(' ', '-')}")
        assert Path(shot).stat().st_size > 10_000
        if width >= 1024:
            assert opened.evaluate("document.documentElement.scrollWidth") <= width
    opened.close()
