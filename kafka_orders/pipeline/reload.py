"""Noticing that the handler's source file has changed, so that a presenter edits and goes on."""

from __future__ import annotations

import hashlib
import inspect
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

#: Look at the file at most this often, in seconds.
_EVERY = 0.5


class SourceWatch:
    """Watches the file a handler is written in; a file that does not compile is not a change yet."""

    def __init__(self, handler: Callable[..., Any], clock: Callable[[], float] = time.monotonic) -> None:
        #: The watched file; None for a handler without one.
        self.path = _source_file(handler)
        self._clock, self._looked = clock, clock()
        self._stamp, self._digest = self._state(), self._content()
        #: Why a changed file is not used, for the log; empty when there is nothing to say.
        self.complaint = ""

    def changed(self) -> bool:
        """Say whether the file holds another program than at the start."""
        self.complaint = ""
        if self.path is None or self._clock() - self._looked < _EVERY:
            return False
        self._looked = self._clock()
        if (stamp := self._state()) == self._stamp:
            return False
        self._stamp = stamp
        return self._content() != self._digest and self._compiles()

    def _compiles(self) -> bool:
        try:
            compile((self.path or Path()).read_bytes(), str(self.path), "exec")
        except (SyntaxError, ValueError, OSError) as error:
            self.complaint = f"{self.path} has changed but cannot be used yet: {error}"
            return False
        return True

    def _state(self) -> tuple[int, int] | None:
        try:
            found = (self.path or Path()).stat()
        except OSError:
            return None  # an editor is just replacing it
        return found.st_mtime_ns, found.st_size

    def _content(self) -> bytes:
        try:
            return hashlib.sha256((self.path or Path()).read_bytes()).digest()
        except OSError:
            return b""


def _source_file(handler: Callable[..., Any]) -> Path | None:
    try:
        found = inspect.getsourcefile(inspect.unwrap(handler))
    except TypeError:
        return None
    return Path(found).absolute() if found else None


def restart_process() -> NoReturn:
    """Run this very command again in place of this process, with its new source."""
    command = [sys.executable, *sys.orig_argv[1:]]
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        os.execv(sys.executable, command)  # noqa: S606  the command that started us
    # Windows' exec starts a new process and returns to the shell: stay as its parent instead.
    sys.exit(subprocess.run(command, check=False).returncode)
