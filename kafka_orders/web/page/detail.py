"""All there is to know about one dead letter, in a dialog."""

from __future__ import annotations

import json
from typing import Any

from nicegui import ui

from kafka_orders.web.page.asking import raw


def show_letter(told: dict[str, Any]) -> None:
    """Open the dialog; everything in it is text."""
    with ui.dialog() as dialog, ui.card().classes("w-full max-w-4xl gap-2").classes("at-letter"):
        with ui.row().classes("w-full items-center justify-between"):
            ui.label(f"{told['id']}: {told['status']}").classes("text-lg font-bold")
            ui.button("Close", on_click=dialog.close).props("flat")
        raw(f"{told['error_class']}: {told['error']}", "letter-error")
        ui.label("Order").classes("font-semibold")
        raw(json.dumps(told["payload"], indent=2, default=str, ensure_ascii=False), "letter-payload")
        ui.label("Journey").classes("font-semibold")
        for one in told["journey"]:
            said = f"retry {one['attempt']}" if one["attempt"] else ""
            raw("  ".join(filter(None, (one["at_ms"], one["where"], said, one["error"]))))
        if told["newer_orders_of_key"]:
            ui.label(f"{told['newer_orders_of_key']} newer orders with its key were handled since").classes(
                "trouble"
            )
        with ui.expansion("Headers").classes("w-full"):
            raw("\n".join(f"{name}: {value}" for name, value in told["headers"]), "letter-headers")
        with ui.expansion("Stack").classes("w-full"):
            raw(told["stack"] or "none was kept")
        with ui.expansion("What became of it").classes("w-full"):
            raw(json.dumps({"standing": told["standing"], "job": told["job"]}, indent=2, default=str))
    dialog.on("hide", dialog.delete)
    dialog.open()
