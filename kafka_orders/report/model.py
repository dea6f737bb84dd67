"""What a report holds: plain frozen values, the same for the API's JSON, the page and the metrics.

Times are epoch milliseconds by the broker's clock where a record tells them; rates are per second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kafka_orders.domain.standing import JobRecord


@dataclass(frozen=True, slots=True)
class Average:
    """The running average of one product, merged over all partitions of main and retry."""

    product: str
    count: int
    average: float
    min: float
    max: float
    sum: float


@dataclass(frozen=True, slots=True)
class Sample:
    """The pipeline at one moment: all averages, and what had become of orders so far."""

    at_ms: int
    overall: float
    counted: int
    retried: int
    dead: int
    averages: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Flow:
    """Where orders are, from the topic to their end.

    ``written`` are offsets of the orders topic; ``counted`` orders of main and retry together; ``retried`` and
    ``dead`` are steps of orders, so one order may be in several; ``waiting`` is the retry queue now.
    """

    written: int = 0
    counted: int = 0
    retried: int = 0
    dead: int = 0
    skipped: int = 0
    waiting: int = 0
    written_per_second: float = 0.0
    counted_per_second: float = 0.0
    retried_per_second: float = 0.0
    dead_per_second: float = 0.0


@dataclass(frozen=True, slots=True)
class Band:
    """The retries that wait for one attempt (0: replays, due at once); ``due`` of them could be tried now."""

    attempt: int
    waiting: int
    due: int
    next_due_ms: int | None


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """What one group has before it in one partition.

    ``waiting`` are retries that are not due yet, which is no trouble. ``seconds`` is how long the oldest unread
    record has been there, of retries how long the first is overdue; None: unknown.
    """

    group: str
    topic: str
    partition: int
    next_offset: int | None
    end: int
    lag: int
    waiting: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class LetterGroup:
    """Dead letters with one fingerprint; ``keys`` and ``products`` are how many distinct ones there are."""

    fingerprint: str
    error_class: str
    message: str
    stage: str
    letters: int
    open: int
    statuses: Mapping[str, int]
    first_ms: int
    last_ms: int
    trend: str
    keys: int
    products: int
    looks_like: str
    sample: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """How many have died of one class of error in one stage."""

    error_class: str
    stage: str
    letters: int


@dataclass(frozen=True, slots=True)
class Letters:
    """The dead letter queue in figures; ``oldest_open_ms`` is when the oldest open one was written."""

    total: int = 0
    statuses: Mapping[str, int] = field(default_factory=dict)
    oldest_open_ms: int | None = None
    kinds: tuple[Kind, ...] = ()
    #: The largest groups; ``group_count`` is of all.
    groups: tuple[LetterGroup, ...] = ()
    group_count: int = 0

    @property
    def open(self) -> int:
        """Those that nobody has done anything about."""
        return self.statuses.get("open", 0)


@dataclass(frozen=True, slots=True)
class Failure:
    """One of the latest dead letters."""

    id: str
    at_ms: int
    error_class: str
    message: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Member:
    """A worker in a consumer group, and the partitions it has."""

    group: str
    member: str
    client: str
    host: str
    partitions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GroupState:
    """A consumer group as its coordinator knows it."""

    group: str
    state: str
    members: tuple[Member, ...] = ()


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic of the pipeline; without partitions it does not exist. ``complaints`` say what is wrong with it."""

    name: str
    role: str
    partitions: int
    records: int = 0
    complaints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Latency:
    """From an order's own time to the commit that counted it, of the latest samples, in milliseconds."""

    samples: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A pipeline at ``at_ms``. ``products`` are those with the most orders; ``product_count`` is of all."""

    at_ms: int
    flow: Flow = field(default_factory=Flow)
    overall: Average = field(default_factory=lambda: Average("all", 0, 0.0, 0.0, 0.0, 0.0))
    products: tuple[Average, ...] = ()
    product_count: int = 0
    bands: tuple[Band, ...] = ()
    lag: tuple[PartitionLag, ...] = ()
    letters: Letters = field(default_factory=Letters)
    failures: tuple[Failure, ...] = ()
    groups: tuple[GroupState, ...] = ()
    topics: tuple[Topic, ...] = ()
    latency: Latency = field(default_factory=Latency)
    #: Workers whose outage breaker is open, and why.
    breakers: Mapping[str, str] = field(default_factory=dict)
    #: How many dead letters were sent back (requested), and how many of these ended resolved or failed_again.
    replays: Mapping[str, int] = field(default_factory=dict)
    #: The latest runs of tools, the newest first.
    jobs: tuple[JobRecord, ...] = ()
    history: tuple[Sample, ...] = ()
    #: Why the report could not be brought up to date since ``at_ms``; empty: it is.
    trouble: str = ""
