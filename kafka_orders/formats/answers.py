"""What a schema registry answers: how much of it is read, and whether it is an answer at all.

Its client reads whatever comes, as long as some of it comes every few seconds, and believes any JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from time import monotonic
from typing import Any

#: Longer answers are none. No registry has a schema as large as that: requests to them end at 10 MB or before.
MOST_ANSWER_BYTES = 32 << 20
_MOST_ID = (1 << 31) - 1


def bound(client: Any, seconds: float) -> None:
    """Let Confluent's client give up an answer that is too long or takes too long."""
    # It has no public way to say so: another version may have none at all, and is used as it is.
    session = getattr(getattr(client, "_rest_client", None), "session", None)
    if session is None:
        return
    library: Any = import_module(type(session).__module__.partition(".")[0])  # httpx, or what came after it

    class Bounded(library.SyncByteStream):  # type: ignore[misc]
        def __init__(self, stream: Any) -> None:
            self._stream, self._late = stream, monotonic() + seconds

        def __iter__(self) -> Iterator[bytes]:
            left = MOST_ANSWER_BYTES
            for part in self._stream:
                left -= len(part)
                if left < 0:
                    raise library.ReadError(f"an answer of more than {MOST_ANSWER_BYTES} bytes")
                if monotonic() > self._late:
                    raise library.ReadTimeout(f"an answer that is not whole after {seconds:g} s")
                yield part

        def close(self) -> None:
            self._stream.close()

    def bounded(response: Any) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":  # a little of it may be very long
            raise library.ReadError("a compressed answer, which was not asked for")
        response.stream = Bounded(response.stream)

    session.headers["accept-encoding"] = "identity"
    session.event_hooks = {"response": [bounded]}


def text_of(schema: Any) -> str:
    """Return a schema's text.

    Raises:
        TypeError: it has none.
    """
    if not isinstance(schema.schema_str, str):
        raise TypeError("a schema without text")
    return schema.schema_str


def type_of(schema: Any) -> str:
    """Return what kind of schema it is, in the registry's words: Avro is what they leave out.

    Raises:
        TypeError: that is no word.
    """
    told = schema.schema_type or "AVRO"
    if not isinstance(told, str):
        raise TypeError("a schema of no type")
    return told


def number_of(told: Any) -> int:
    """Return an id or the number of a version.

    Raises:
        TypeError: it is none.
    """
    if type(told) is not int or not 0 <= told <= _MOST_ID:
        raise TypeError(f"no number of a schema: {told!r:.40}")
    return told


def ids_of(registered: Any) -> tuple[int, Any]:
    """Return a schema's id, and what is told as its global one: None by most registries.

    Raises:
        TypeError: the first is none.
    """
    return number_of(registered.schema_id), registered.guid


def numbers_of(told: Any) -> list[int]:
    """Return numbers of versions.

    Raises:
        TypeError: they are none.
    """
    if not isinstance(told, list):
        raise TypeError(f"no list of versions: {told!r:.40}")
    return [number_of(one) for one in told]


def names_of(told: Any) -> frozenset[str]:
    """Return subjects.

    Raises:
        TypeError: they are none.
    """
    if not isinstance(told, list) or not all(isinstance(one, str) for one in told):
        raise TypeError(f"no list of subjects: {told!r:.40}")
    return frozenset(told)


def yes_or_no(told: Any) -> bool:
    """Return a verdict.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(told, bool):
        raise TypeError(f"neither true nor false: {told!r:.40}")
    return told


def said(code: int, message: str | None) -> str:
    """Return the words that an HTTP code came with, and what may be wrong."""
    told = f" ({str(message)[:300]})" if message else ""
    if code == 404:
        return f"{told}: is this the path of its API? Apicurio's is /apis/ccompat/v7"
    return f"{told}: it cannot do this now, or not with this schema; its log says more" if code >= 500 else told
