"""A progress bar on stderr, or nothing: everything that waits is visible."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Bar(Progress):
    """Something long, in bytes or in records; silent when not shown or when stderr is no terminal."""

    def __init__(self, what: str, total: int, *, shown: bool, bytes_: bool = True) -> None:
        console = Console(stderr=True)
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn() if bytes_ else MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=not bytes_,
            disable=not shown or not console.is_terminal,
        )
        self._what = what
        self._task = self.add_task(what, total=total)

    def done(self, amount: int) -> None:
        """Tell that ``amount`` more is done."""
        self.advance(self._task, amount)

    def stage(self, what: str, total: int, more: int) -> None:
        """Tell what is being done now; a new stage begins with ``more`` = 0."""
        if more == 0:
            self.update(self._task, description=f"{self._what} {what}", total=total, completed=0)
        else:
            self.done(more)
