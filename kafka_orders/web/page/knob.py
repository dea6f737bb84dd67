"""A slider of the stage that follows the hand which turns it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic

from nicegui import ui

#: So long after a turn nothing else moves the slider: the hand may be under way still, and a step of the keyboard
#: begins where the slider stands.
QUIET_SECONDS = 2.0
#: A rate is rounded, so its place is only nearly where it was turned to; sliders have steps of 5.
_NEARLY = 0.5

Tell = Callable[[float], Awaitable[object]]


class Knob:
    """Tells each place it is turned to, in turn, the last one for certain; shows what others turn it to.

    Each step of a turn is an event, and each is told on a thread: told at once, an earlier one could come last.
    What is turned meanwhile is told when the one under way has been, and only its last place.
    """

    def __init__(
        self, tell: Tell, show: Callable[[float], object], clock: Callable[[], float] = monotonic
    ) -> None:
        """Stand at 0 of 100; ``tell`` passes a place on, ``show`` moves the slider."""
        self._tell, self._show, self._clock = tell, show, clock
        self._known, self._next, self._telling = 0.0, list[float](), False
        self._turned_at = clock() - QUIET_SECONDS

    async def turn(self, place: float) -> None:
        """Take where the hand has turned the slider to."""
        self._next, self._turned_at = [place], self._clock()
        if self._telling:
            return
        self._telling = True
        try:
            while self._next:
                self._known = self._next.pop()
                await self._tell(self._known)
        finally:
            self._telling = False

    def stand(self, place: float) -> None:
        """Show where somebody else has turned it to, or where it still is since a turn was refused."""
        turning = self._telling or self._clock() - self._turned_at < QUIET_SECONDS
        if not turning and abs(place - self._known) > _NEARLY:
            self._known = place
            self._show(place)


class _Slider(ui.slider):
    """A slider that moves by itself: the answer of a busy server would move it back to where it was."""

    LOOPBACK = False


def knob(name: str, tell: Tell) -> Knob:
    """Make a slider from 0 to 100; ``name`` says what it turns."""
    slider = _Slider(min=0, max=100, step=5, value=0).classes("w-64").props(f'aria-label="{name}" label')
    made = Knob(tell, slider.set_value)
    # Page keys step captions, wherever the focus is; a slider takes them for itself.
    slider.on("keydown", js_handler="(event) => event.stopPropagation()")
    # When it is let go, not while it moves.
    slider.on("change", lambda event: made.turn(float(event.args)))
    return made
