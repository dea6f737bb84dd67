"""Kafka's frames, as far as the proxy of the fault tests reads them."""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from typing import NamedTuple

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

HOST = b"127.0.0.1"
PRODUCE, FETCH, METADATA, FIND_COORDINATOR, INIT_PRODUCER_ID = 0, 1, 3, 10, 22
ADD_PARTITIONS, ADD_OFFSETS, END_TXN, TXN_OFFSET_COMMIT, DESCRIBE_CLUSTER = 24, 25, 26, 28, 60

#: A transaction's requests: the first flexible version of each, and the last whose beginning is as read here.
_KNOWN = {
    INIT_PRODUCER_ID: (2, 6),
    ADD_PARTITIONS: (3, 3),
    ADD_OFFSETS: (3, 4),
    END_TXN: (3, 5),
    TXN_OFFSET_COMMIT: (3, 5),
}


class Request(NamedTuple):
    """What is read of a request."""

    key: int
    version: int
    correlation: int
    transactional_id: str = ""
    commits: bool = False


class _Cursor:
    """Reads one field after the other."""

    def __init__(self, data: bytes, at: int, flexible: bool) -> None:
        self.data, self.at, self.flexible = data, at, flexible
        if flexible and self.varint():
            raise ValueError("tagged fields in the header")

    def take(self, form: str) -> int:
        value: int = struct.unpack_from(form, self.data, self.at)[0]
        self.at += struct.calcsize(form)
        return value

    def varint(self) -> int:
        value, shift, more = 0, 0, True
        while more:
            byte = self.take(">B")
            value, shift, more = value | (byte & 127) << shift, shift + 7, byte > 127
        return value

    def length(self, form: str) -> int:
        return self.varint() - 1 if self.flexible else self.take(form)

    def string(self) -> str:
        length = max(0, self.length(">h"))
        self.at += length
        return self.data[self.at - length : self.at].decode()


def read_request(frame: bytes) -> Request:
    """Read the header and, of a transaction's requests, the transactional.id."""
    key, version, correlation, client = struct.unpack_from(">hhih", frame)
    if key not in _KNOWN:
        return Request(key, version, correlation)
    first, last = _KNOWN[key]
    if version > last:
        raise ValueError(f"version {version} of api {key} is not known here")
    body = _Cursor(frame, 10 + max(0, client), version >= first)
    name = body.string()
    return Request(key, version, correlation, name, key == END_TXN and frame[body.at + 10] == 1)


def error_in(request: Request, frame: bytes) -> int:
    """Return the (first) error code in the answer to a transaction's request."""
    body = _Cursor(frame, 4, request.version >= _KNOWN[request.key][0])
    body.take(">i")  # throttle
    if request.key in (ADD_PARTITIONS, TXN_OFFSET_COMMIT):
        body.length(">i"), body.string(), body.length(">i"), body.take(">i")  # first topic, first partition
    return body.take(">h")


async def read(reader: asyncio.StreamReader) -> bytes:
    """Return the next frame, without its size."""
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big", signed=True))


def put(writer: asyncio.StreamWriter, frame: bytes) -> None:
    """Write a frame; large ones are not copied."""
    if not writer.is_closing():
        size = struct.pack(">i", len(frame))
        if len(frame) < 1 << 16:
            writer.write(size + frame)
        else:
            writer.write(size)
            writer.write(frame)


class Link:
    """A client's connection and the proxy's own to the broker."""

    def __init__(self, broker: int, client: Streams, server: Streams) -> None:
        self.broker, self.client, self.server = broker, client, server
        self.pending: deque[Request] = deque()
        self.due = {client[1]: 0.0, server[1]: 0.0}
        self.broken = False

    def cut(self) -> None:
        """Break the client's connection; what was forwarded still reaches the broker."""
        self.broken = True
        self.client[1].transport.abort()
        self.server[1].close()

    def answered(self, frame: bytes) -> Request:
        """Return the request of an answer. Answers come in order: those passed over were `acks=0`."""
        correlation = int.from_bytes(frame[:4], "big", signed=True)
        while self.pending:
            if (request := self.pending.popleft()).correlation == correlation:
                return request
        raise ValueError(f"an answer to nothing: correlation id {correlation}")


def moved(key: int, frame: bytes, ports: dict[int, int]) -> bytes:
    """Return an answer with the brokers' ports replaced: of `frame`, or its end, where KIP-951 puts leaders."""
    if key not in (PRODUCE, FETCH, METADATA, FIND_COORDINATOR, DESCRIBE_CLUSTER):
        return frame
    start = max(0, len(frame) - 512) if key in (PRODUCE, FETCH) else 0
    if HOST not in (end := frame[start:]):
        return frame
    for real, ours in ports.items():
        end = end.replace(HOST + struct.pack(">i", real), HOST + struct.pack(">i", ours))
    return frame[:start] + end
