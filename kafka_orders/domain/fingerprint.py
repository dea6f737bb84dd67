"""What a failure looks like: told once as text, and hashed so that equal failures group."""

from __future__ import annotations

import hashlib
import re
import traceback
from functools import lru_cache
from typing import Literal, NamedTuple

Stage = Literal["decode", "validate", "process"]

#: Quoted texts differ from record to record, not from bug to bug. An apostrophe inside a word opens none.
_QUOTED = re.compile(r"(?<!\w)(?:'[^']*'|\"[^\"]*\")")
#: So do numbers, hexadecimal ids and UUIDs: words with a digit in them.
_WORD = re.compile(r"[\w-]*\d[\w-]*")
_ID = re.compile(r"[0-9a-fA-F-]+")
#: Characters of a message that tell a failure apart; the rest may be an order id of a megabyte.
_TELLING = 512


class Failure(NamedTuple):
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

    Only dead letters carry a stack trace.
    """
    said = text_of(error) if message is None else message
    failure = _failure(said, type(error), stage, location(error))  # type: ignore[arg-type]  # classes are hashable
    return failure._replace(stack=_stack(error)) if with_stack and error.__traceback__ else failure


@lru_cache(maxsize=1024)  # an outage repeats one failure a million times
def _failure(said: str, kind: type[BaseException], stage: Stage, place: str) -> Failure:
    fqcn = f"{kind.__module__}.{kind.__qualname__}"
    return Failure(said or fqcn, fqcn, stage, fingerprint(fqcn, place, said))


def _stack(error: BaseException) -> str:
    """Return the stack trace, formatted once per place: that takes 50 microseconds."""
    if error.__cause__ or error.__context__ or isinstance(error, BaseExceptionGroup):
        return "".join(traceback.format_exception(error))
    frames, at = [], error.__traceback__
    while at is not None:
        code = at.tb_frame.f_code
        frames.append((code.co_filename, at.tb_lineno, code.co_name))
        at = at.tb_next
    return _frames(tuple(frames)) + "".join(traceback.format_exception_only(error))


@lru_cache(maxsize=256)
def _frames(frames: tuple[tuple[str, int, str], ...]) -> str:
    lines = traceback.StackSummary.from_list([(*frame, None) for frame in frames]).format()
    return "Traceback (most recent call last):\n" + "".join(lines)


def text_of(error: BaseException) -> str:
    """Return the error's own text, or that it has none: its ``__str__`` is a stranger's code."""
    try:
        return str(error)
    except Exception:
        return f"<the text of {type(error).__qualname__} cannot be told>"


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
    return _place(code.co_filename, code.co_name)


@lru_cache(maxsize=256)
def _place(path: str, function: str) -> str:
    file = path.replace("\\", "/").rpartition("/")[2]
    return f"{file}:{function}"


def fingerprint(kind: str, where: str, message: str) -> str:
    """Return 16 hex digits: equal for the same class, code location and masked message."""
    seen = "\0".join((kind, where, mask(message)))
    return hashlib.sha256(seen.encode(errors="replace")).hexdigest()[:16]


def mask(message: str) -> str:
    """Return the beginning of the message with its numbers, ids and quoted texts replaced by ``#``."""
    return _WORD.sub(_masked, _QUOTED.sub("#", message[:_TELLING]))


def _masked(found: re.Match[str]) -> str:
    return "#" if _ID.fullmatch(found[0]) else re.sub(r"\d+", "#", found[0])
