"""`python -m benchmarks`: ours and its peers on one broker; writes docs/benchmarks.md, .svg and .json."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from benchmarks import chart, page, record
from benchmarks.contenders import ALL, BY_NAME, FORMATS, OURS, RAW
from benchmarks.runner import python_of
from benchmarks.session import Plan, run
from kafka_orders.local import Cluster
from kafka_orders.sources import home_folder
from tests.support.registry import Registry, ensure


@contextmanager
def broker(bootstrap: str, *, progress: bool) -> Iterator[tuple[str, Path]]:
    """Give a broker's address and a folder for this run; without an address, a Kafka of its own."""
    with tempfile.TemporaryDirectory() as folder:
        if bootstrap:
            yield bootstrap, Path(folder)
            return
        os.environ.setdefault("KAFKA_ORDERS_CACHE", str(home_folder() / "jars"))
        cluster = Cluster(Path(folder), port=None)
        try:
            yield cluster.start(progress=progress).bootstrap_servers, Path(folder)
        finally:
            cluster.stop()


@contextmanager
def registry(names: Iterable[str], folder: Path) -> Iterator[str]:
    """Give the address of a real schema registry, that of the tests, where contenders have framed orders."""
    if not any(BY_NAME[name].framed for name in names):
        yield ""
        return
    cache = Path(os.environ.get("KAFKA_ORDERS_CACHE") or home_folder() / "jars")
    running = Registry(ensure(cache), folder).start()
    try:
        yield running.url
    finally:
        running.kill()


def names_of(only: str, *, quick: bool) -> list[str]:
    """Return who takes part: the raw loop and ours always do, all ratios are theirs.

    Raises:
        click.BadParameter: there is no such contender.
    """
    asked = [name.strip() for name in only.split(",") if name.strip()]
    if unknown := set(asked) - BY_NAME.keys():
        raise click.BadParameter(f"no such contender: {', '.join(sorted(unknown))}; see --list")
    chosen = asked or [one.name for one in ALL if one.quick or not quick]
    return [one.name for one in (*ALL, *FORMATS) if one.name in {RAW, OURS, *chosen}]


def render_all(told: Console) -> None:
    """Write page and chart from the JSON."""
    measured = record.load()
    before = record.PAGE.read_text(encoding="utf-8") if record.PAGE.is_file() else ""
    record.PAGE.write_text(page.render(measured, before), encoding="utf-8")
    if "throughput" in measured:
        record.CHART.write_text(chart.render(measured["throughput"]), encoding="utf-8")
    told.print(f"written: {', '.join(one.name for one in (record.PAGE, record.CHART))} in docs")


@click.command(help=__doc__)
@click.option("--bootstrap", default="", help="A broker that runs; default: an embedded Kafka for this run.")
@click.option("--orders", type=click.IntRange(1000), help="Orders of a run; default: 1,000,000, quick: 200,000.")
@click.option("--rounds", type=click.IntRange(1), help="Counted rounds; default: 5, quick: 2.")
@click.option("--only", default="", metavar="NAME,…", help="Only these, beside the raw loop and ours.")
@click.option("--quick", is_flag=True, help="Few orders, two rounds, not the slowest; prints, writes nothing.")
@click.option("--formats", is_flag=True, help="Ours with each format, raw and framed, instead of the peers.")
@click.option("--render", "only_render", is_flag=True, help="Only make page and chart anew from the JSON.")
@click.option("--list", "only_list", is_flag=True, help="Only tell who takes part.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def main(
    bootstrap: str, orders: int | None, rounds: int | None, only: str, *, quick: bool, formats: bool,
    only_render: bool, only_list: bool, quiet: bool,
) -> None:  # fmt: skip
    """Run, print the table, and write it unless it was quick or partial."""
    told = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
    if only_list:
        for one in (*ALL, *FORMATS):
            missing = "" if python_of(one.python) else "  (not installed)"
            click.echo(f"{one.name:20} {one.guarantee:14} {one.title}{missing}")
        return
    if only_render:
        render_all(told)
        return
    names = names_of(",".join(one.name for one in FORMATS) if formats else only, quick=quick)
    plan = Plan(names, orders or (200_000 if quick else 1_000_000), rounds or (2 if quick else 5))
    with broker(bootstrap, progress=not quiet) as (address, folder), registry(names, folder) as url:
        found = run(replace(plan, registry=url), address, folder, told.print)
    click.echo(page.table(found["rounds"]))
    for name, why in found["errors"].items():
        click.echo(f"ERROR {name}: {why}", err=True)
    if not quick and not only:
        record.save("formats" if formats else "throughput", found)
        render_all(told)
    sys.exit(1 if found["errors"] else 0)


if __name__ == "__main__":
    main()
