"""The report on a terminal: what the page shows, in a dozen lines."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, replace

import click

from kafka_orders.app import App
from kafka_orders.cli.options import GROUPS, ORDERS, TOPICS, output_option, with_settings
from kafka_orders.domain.settings import Settings
from kafka_orders.report import Report, reporting

_EVERY_SECONDS = 1.0


@click.command()
@with_settings(*TOPICS, "dlq_status_topic", *GROUPS, *ORDERS, "max_retries", "retry_delay_ms", "retry_jitter")
@click.option("--watch", is_flag=True, help="show it again every second, until Ctrl-C")
@output_option
def report(settings: Settings, *, watch: bool, output: str) -> None:
    """Show the whole pipeline: flow, averages, lag, retries, dead letters, latency, workers."""
    with reporting(settings, App().job(settings).decode) as reporter:
        while True:
            found = reporter.refresh(int(time.time() * 1000))
            if output == "table":
                click.echo("\n".join(f"{name:10} {said}" for name, said in lines(found)) + ("\n" if watch else ""))
            else:
                told = asdict(replace(found, history=()))
                del told["history"]
                click.echo(json.dumps(told, indent=2 if output == "json" else None))
            if not watch:
                return
            time.sleep(_EVERY_SECONDS)


def lines(found: Report) -> Iterator[tuple[str, str]]:
    """Yield what a report says, a name and a sentence each."""
    flow, letters = found.flow, found.letters
    yield "orders", f"{flow.written:,} written ({flow.written_per_second:,.0f}/s), {flow.counted:,} counted"
    yield "average", f"{found.overall.average:,.2f} of {found.overall.count:,}"
    for one in found.products[:10]:
        yield "", f"{one.product}: {one.average:,.2f} of {one.count:,}"
    for group in found.groups:
        behind = [one for one in found.lag if one.group == group.group]
        unread, wait = sum(one.lag for one in behind), sum(one.waiting for one in behind)
        yield (
            "group",
            (
                f"{group.group}: {group.state}, {len(group.members)} members, lag {unread:,}"
                + (f", {wait:,} of them not due" if wait else "")
            ),
        )
    for band in found.bands:
        seconds = max(0.0, ((band.next_due_ms or 0) - found.at_ms) / 1000)
        what = f"retry {band.attempt}" if band.attempt else "replays"
        yield "waiting", f"{what}: {band.waiting:,}, {band.due:,} due, the next in {seconds:.1f} s"
    yield "dead", ", ".join(f"{count:,} {name}" for name, count in letters.statuses.items()) or "none"
    for each in letters.groups[:5]:
        yield "", f"{each.letters:,} {each.error_class}: {each.message[:60]} ({each.looks_like})"
    if found.latency.samples:
        yield "latency", f"{found.latency.p50_ms:,.0f} ms, at worst {found.latency.p99_ms:,.0f} ms (p99)"
    yield from (("outage", f"{worker}: {why}") for worker, why in found.breakers.items())
    yield from (("topic", complaint) for topic in found.topics for complaint in topic.complaints)
