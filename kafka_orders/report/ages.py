"""How long the oldest unread record of a partition has been there, without reading it.

The log's end is noted at every look. When the group's next offset was the end, all before it had been read: the
oldest unread record came after that moment, and not long after, since looks are frequent. For a record that was
there before the first look, the log is asked.
"""

from __future__ import annotations

from collections import deque

#: Looks kept of each partition: an hour of one a second.
_MOST = 3_600


class Ages:
    """The ends of one partition over time."""

    def __init__(self) -> None:
        self._ends: deque[tuple[int, int]] = deque(maxlen=_MOST)
        self._asked: tuple[int, int] | None = None

    def see(self, at_ms: int, end: int) -> None:
        """Note the log's end; the same one as at the last look is not noted again, but for its time."""
        if self._ends and self._ends[-1][1] >= end:
            self._ends[-1] = at_ms, end
        else:
            self._ends.append((at_ms, end))

    def wants(self, next_offset: int) -> bool:
        """Say whether the log has to be asked when the record at ``next_offset`` was written."""
        is_asked = self._asked is not None and self._asked[1] == next_offset
        return not is_asked and self._look(next_offset) is None

    def know(self, written_ms: int, next_offset: int) -> None:
        """Note when the record at ``next_offset`` was written, which is there since before the first look."""
        self._asked = written_ms, next_offset

    def seconds(self, now_ms: int, next_offset: int) -> float | None:
        """Return for how long a record at ``next_offset`` has been unread: 0.0 where there is none.

        None: it was there before the first look, and the log was not asked.
        """
        if (since := self._look(next_offset)) is None and self._asked is not None:
            since = self._asked[0]
        return None if since is None else max(0.0, (now_ms - since) / 1000) if since >= 0 else 0.0

    def _look(self, next_offset: int) -> int | None:
        """Return the time of the last look that did not see the record; -1: it is not there now; None: no look."""
        if not self._ends or next_offset >= self._ends[-1][1]:
            return -1
        while len(self._ends) > 1 and self._ends[1][1] <= next_offset:
            self._ends.popleft()
        at, end = self._ends[0]
        return at if end <= next_offset else None
