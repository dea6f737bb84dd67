"""The scenarios, by name: each takes a bed with open topics, and leaves it to be settled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.bed import Bed


@dataclass(frozen=True)
class Scenario:
    """A scenario; ``brokers``: 0 shares a cluster that nothing is done to, 1 or 3 needs one of its own."""

    name: str
    fault: str
    about: str
    run: Callable[[Bed], None]
    brokers: int = 0


ALL: dict[str, Scenario] = {}


def scenario(fault: str, brokers: int = 0) -> Callable[[Callable[[Bed], None]], Callable[[Bed], None]]:
    """Register a function of a bed; its docstring's first line says what it does."""

    def register(run: Callable[[Bed], None]) -> Callable[[Bed], None]:
        name = f"{fault}-{run.__name__.replace('_', '-')}"
        ALL[name] = Scenario(name, fault, (run.__doc__ or "").split("\n")[0], run, brokers)
        return run

    return register


def load() -> dict[str, Scenario]:
    """Return all scenarios."""
    from tests.faults.scenarios import brokers, network, processes, soak, state, tools  # noqa: F401  registering is what an import does

    return ALL
