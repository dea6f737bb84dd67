"""Whether a role makes spans: decided once, at its start. Without an SDK it works as if this were not here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from kafka_orders._version import __version__
from kafka_orders.log.producer import PlainProducer, Send
from kafka_orders.pipeline.handling import Handling

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer


def handling(group: str) -> Callable[..., Handling]:
    """Return what step 2 is made with: the plain class itself, or the one that makes a span per record."""
    tracer = _tracer()
    if tracer is None:
        return Handling
    made: Callable[..., Handling] = partial(_spans().TracedHandling, tracer=tracer, group=group)
    return made


def sending(producer: PlainProducer) -> Send:
    """Return what orders are sent with: the producer's own method, or one that makes a span for each."""
    tracer = _tracer()
    if tracer is None:
        return producer.put
    send: Send = _spans().traced_send(producer, tracer)
    return send


def _tracer() -> Tracer | None:
    """Return what makes spans; None where no SDK is set up.

    Who has set one up has imported the API: where nobody has there is none, and importing it to ask would make
    every start slower.
    """
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    found: Tracer = api.get_tracer("kafka_orders", __version__)
    return None if isinstance(found, api.NoOpTracer | api.ProxyTracer) else found


def _spans() -> Any:
    return import_module("kafka_orders.pipeline.spans")  # needs a package that is an extra
