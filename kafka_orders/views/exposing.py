"""Where a role's metrics are told: imported only where they are wanted, since the package is an extra."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.settings import Settings

if TYPE_CHECKING:
    from kafka_orders.views.metrics import Metrics

#: Set by `up` for its roles: a folder for figures that one endpoint tells for all of them.
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


@contextmanager
def exposed(settings: Settings) -> Iterator[Metrics | None]:
    """Give the metrics of a role, told at its port while the block runs; None where nobody asked for them.

    Raises:
        SettingsError: the package for it is not there, or the port is taken.
    """
    if not settings.metrics_port and SHARED_FOLDER not in os.environ:
        yield None
        return
    try:
        prometheus = import_module("prometheus_client")
    except ImportError:
        raise SettingsError(
            "metrics need the package prometheus-client: pip install 'kafka-orders[metrics]'"
        ) from None
    registry = prometheus.CollectorRegistry()
    metrics: Metrics = import_module("kafka_orders.views.metrics").Metrics(registry)
    if not settings.metrics_port:
        yield metrics
        return
    try:
        server, _ = prometheus.start_http_server(settings.metrics_port, settings.metrics_host, registry)
    except OSError as error:
        raise SettingsError(
            f"metrics_port = {settings.metrics_port} cannot be used: {error.strerror}. No order was touched"
        ) from None
    try:
        yield metrics
    finally:
        server.shutdown()
        server.server_close()
