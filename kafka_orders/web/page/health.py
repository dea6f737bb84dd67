"""The health of topics and workers."""

from __future__ import annotations

from nicegui import ui

from kafka_orders.report.model import Report

_TOPICS = ("topic", "for", "partitions", "records", "complaint")
_WORKERS = ("group", "state", "worker", "host", "partitions", "unread", "not due")
_LAG = ("group", "partition", "next offset", "end", "unread", "not due", "seconds")


class Health:
    """Tables of topics, workers and partitions; and what is wrong, first."""

    def __init__(self) -> None:
        self._wrong = ui.column().classes("w-full gap-1").classes("at-wrong")
        self._told: list[str] = []
        self._workers = _table("Workers", _WORKERS)
        self._topics = _table("Topics", _TOPICS)
        self._lag = _table("Partitions", _LAG)

    def update(self, report: Report) -> None:
        """Show what a report says."""
        wrong = [f"{worker} pauses: {why}" for worker, why in report.breakers.items()]
        wrong += [complaint for one in report.topics for complaint in one.complaints]
        if wrong != self._told:
            self._told = wrong
            self._wrong.clear()
            with self._wrong:
                for said in wrong:
                    ui.label(said).classes("trouble")
        _fill(self._topics, _TOPICS, [
            (one.name, one.role, one.partitions, f"{one.records:,}", "; ".join(one.complaints))
            for one in report.topics
        ])  # fmt: skip
        _fill(self._workers, _WORKERS, list(_workers(report)))
        _fill(self._lag, _LAG, [
            (one.group, f"{one.topic}/{one.partition}", one.next_offset, one.end, one.lag, one.waiting,
             "" if one.seconds is None else f"{one.seconds:.0f}")
            for one in report.lag
        ])  # fmt: skip


def _workers(report: Report) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for group in report.groups:
        behind = [one for one in report.lag if one.group == group.group]
        unread, wait = sum(one.lag for one in behind), sum(one.waiting for one in behind)
        if not group.members:
            rows.append((group.group, group.state, "nobody", "", "", unread, wait))
        rows += [
            (group.group, group.state, one.client, one.host, ", ".join(one.partitions), unread, wait)
            for one in group.members
        ]
    return rows


def _table(title: str, names: tuple[str, ...]) -> ui.table:
    columns = [{"name": name, "label": name, "field": name, "align": "left", "sortable": True} for name in names]
    made = ui.table(rows=[], columns=columns, row_key="row", title=title, pagination=0)
    return made.classes("w-full").props("dense flat bordered hide-bottom").classes(f"at-table-{title.lower()}")


def _fill(table: ui.table, names: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    made = [{"row": number, **dict(zip(names, row, strict=True))} for number, row in enumerate(rows)]
    if made != table.rows:
        table.rows = made
