"""What a failure looks like: told once as text, and hashed so that equal failures group."""

from __future__ import annotations

import hashlib
import re
import traceback
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath
from typing import Literal

Stage = Literal["decode", "validate", "process"]

#: Numbers, hexadecimal ids, UUIDs and quoted texts differ from record to record, not from bug to bug.
_VARIABLE = re.compile(r"'[^']*'|\"[^\"]*\"|\b[0-9a-fA-F-]*\d[0-9a-fA-F-]*\b|\d+")


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure of one record, as text that can travel in headers."""

    message: str
    fqcn: str
    stage: Stage
    fingerprint: str
    stack: str = ""


def describe(
    error: BaseException, stage: Stage, message: str | None = None, *, with_stack: bool = True
) -> Failure:
    """Return the failure that ``error`` is; ``message`` replaces the error's own text.

    A stack trace costs a hundred times the rest, and only dead letters carry one.
    """
    said = str(error) if message is None else message
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    stack = "".join(traceback.format_exception(error)) if with_stack and error.__traceback__ else ""
    return Failure(said or kind, kind, stage, fingerprint(kind, location(error), said), stack)


def location(error: BaseException) -> str:
    """Return file and function where the error was raised, without line or folder.

    Lines move with every edit and folders from machine to machine; a bug stays where it is.
    """
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return f"{PurePath(code.co_filename).name}:{code.co_name}"


@lru_cache(maxsize=1024)  # an outage repeats one failure a million times
def fingerprint(kind: str, where: str, message: str) -> str:
    """Return 16 hex digits: equal for the same class, code location and masked message."""
    seen = "\0".join((kind, where, mask(message)))
    return hashlib.sha256(seen.encode(errors="replace")).hexdigest()[:16]


def mask(message: str) -> str:
    """Return the message with its numbers, ids and quoted texts replaced by ``#``."""
    return _VARIABLE.sub("#", message)
