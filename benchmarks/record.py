"""docs/benchmarks.json: all that was measured; the page and the chart are made from it alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
JSON = ROOT / "docs/benchmarks.json"
PAGE = ROOT / "docs/benchmarks.md"
CHART = ROOT / "docs/benchmarks.svg"


def load(file: Path = JSON) -> dict[str, Any]:
    """Return what was measured, by part: throughput, latency; empty where nothing was yet."""
    held: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return held


def save(part: str, measured: dict[str, Any], file: Path = JSON) -> None:
    """Put a part in the place of what was measured before."""
    held = load(file) | {part: measured}
    file.write_text(json.dumps(_rounded(held), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _rounded(value: Any) -> Any:
    """Return the same with floats of nine digits: the rest is noise, and a third of the file."""
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value
