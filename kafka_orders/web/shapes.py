"""What API requests and answers look like; names are those of the commands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import Depends, Path
from pydantic import BaseModel, ConfigDict, Field

from kafka_orders.deadletters.replay import Options
from kafka_orders.deadletters.selection import Selection, parse_header, parse_time
from kafka_orders.domain.standing import LetterId

Status = Literal["open", "replaying", "resolved", "failed_again", "discarded"]
Text = Annotated[str, Field(max_length=1_000)]


def letter_name(
    topic: Annotated[str, Path(pattern=r"^[a-zA-Z0-9._-]{1,249}$")],
    partition: Annotated[int, Path(ge=0, le=99_999_999)],
    offset: Annotated[int, Path(ge=0, le=10**18)],
) -> LetterId:
    """Return the dead letter that a path names."""
    return LetterId(topic, partition, offset)


Name = Annotated[LetterId, Depends(letter_name)]


class Asked(BaseModel):
    """A request's body; a name that is not known is an error, not silence."""

    model_config = ConfigDict(extra="forbid")


class Filter(Asked):
    """Which dead letters: all of what is said has to pass; lists pass any of theirs."""

    ids: list[Text] = Field(default=[], max_length=10_000, description="TOPIC/PARTITION/OFFSET")
    groups: list[Text] = Field(default=[], max_length=100, description="fingerprints")
    statuses: list[Status] = Field(default=[], max_length=5)
    headers: list[Text] = Field(default=[], max_length=20, description="name=value")
    error_class: Text = Field(default="", description="class of the error, with or without its module")
    match: Text = Field(default="", description="text in error or order, in any case")
    key: Text = ""
    product: Text = ""
    since: Text = Field(default="", description="ISO time, or age as in 2h")
    until: Text = Field(default="", description="ISO time, or age as in 2h; exclusive")

    def selection(self, now_ms: int) -> Selection:
        """Return the selection that is meant.

        Raises:
            SettingsError: an id, a time, a header or a status is none.
        """
        return Selection(
            ids=tuple(map(LetterId.parse, self.ids)),
            groups=tuple(self.groups),
            error_class=self.error_class,
            match=self.match,
            key=self.key,
            product=self.product,
            headers=tuple(map(parse_header, self.headers)),
            since_ms=parse_time(self.since, now_ms) if self.since else None,
            until_ms=parse_time(self.until, now_ms) if self.until else None,
            statuses=tuple(self.statuses),
        )


class ReplayOptions(Asked):
    """How to replay."""

    to: str = Field(default="", max_length=249, description="topic; default: where each letter was to be handled")
    rate: float = Field(
        default=0.0, ge=0, le=1e9, allow_inf_nan=False, description="at most so many a second; 0: all"
    )
    max: int = Field(default=0, ge=0, le=2**53, description="at most so many; 0: all")
    max_replays: int = Field(default=2, ge=1, le=999, description="a letter replayed so often stays dead")
    reason: Text = Field(default="", description="why; kept with the job")

    def options(self) -> Options:
        """Return the options of the replay."""
        return Options(self.to, self.rate, self.max, self.max_replays)


class ReplayAsked(ReplayOptions):
    """A replay of what a filter selects; an empty filter is refused unless ``everything`` is meant."""

    filter: Filter = Filter()
    everything: bool = False
    dry_run: bool = Field(default=False, description="only tell what would go where")
    predict: bool = Field(default=False, description="only run the handler over them, and tell what fails")


class EditAsked(ReplayOptions):
    """A change of orders: expressions over their fields, or a whole order."""

    set: list[Text] = Field(default=[], max_length=50, description="FIELD=EXPRESSION, as in price=abs(price)")
    order: dict[str, Any] | None = Field(default=None, description="the whole order, in place of what was there")


class EditsAsked(EditAsked):
    """A change of all the orders that a filter selects."""

    filter: Filter
    dry_run: bool = False


class MarkAsked(Asked):
    """Discarding or restoring what a filter selects."""

    filter: Filter
    reason: Text = ""


class ReasonAsked(Asked):
    """Why."""

    reason: Text = ""


class NoteAsked(Asked):
    """A note about a group; an empty text takes it away."""

    text: str = Field(max_length=4_000)


class LetterRow(BaseModel):
    """A dead letter in a list. Times are ISO 8601 in UTC."""

    id: str
    failed_at: str | None
    key: str
    product: str | None
    error_class: str
    error: str
    retries: int
    replays: int
    status: str
    group: str


class LetterPage(BaseModel):
    """Dead letters, the newest first. ``cursor`` asks for those before; with ``scan_complete`` there are none."""

    letters: list[LetterRow]
    cursor: str | None
    scan_complete: bool
    looked_at: int


class LetterTold(BaseModel):
    """All there is to know about a dead letter."""

    model_config = ConfigDict(extra="allow")

    id: str
    status: str
    standing: dict[str, Any]
    job: dict[str, Any] | None
    key: str
    payload: dict[str, Any]
    origin: str | None
    error_class: str
    error: str
    stage: str
    group: str
    retries: int
    replays: int
    journey: list[dict[str, Any]]
    newer_orders_of_key: int
    headers: list[list[str | None]]
    stack: str


class JobTold(BaseModel):
    """A run of a tool: state running, done, cancelled, taken over, or failed (``reason`` says why)."""

    id: str
    action: str
    author: str
    reason: str
    state: str
    done: int
    total: int
    passed_over: int
    selection: dict[str, Any]
    options: dict[str, Any]
    history: list[list[Any]]


class JobsTold(BaseModel):
    """Jobs, the newest first."""

    jobs: list[JobTold]


class PlanTold(BaseModel):
    """What a replay would do; with a prediction, how it would end."""

    total: int
    targets: dict[str, int]
    errors: dict[str, int]
    passed_over: dict[str, int]
    tried: int | None = None
    would_pass: int | None = None
    would_fail: dict[str, int] | None = None


class MarkTold(BaseModel):
    """How marking went: how many were marked, and how many were left as they are, by why."""

    job: JobTold
    marked: int
    passed_over: dict[str, int]


class ChangeTold(BaseModel):
    """A letter's order before and after, and which bytes differ."""

    id: str
    before: dict[str, Any] | None
    after: dict[str, Any]
    fields: list[str]
    bytes: str


class PreviewTold(BaseModel):
    """What an edit would do: some of the changes in full, and why other letters would not change."""

    changing: int
    refused: dict[str, int]
    samples: list[ChangeTold]


class Health(BaseModel):
    """Whether this process serves; ``trouble`` says why not."""

    status: str
    trouble: str = ""


class Audit(BaseModel):
    """What operators did, the newest first."""

    entries: list[JobTold]


Counts = Mapping[str, int]


def plain(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was decoded as JSON can have it: bytes as hex, NaN and infinity by name, other types as text."""
    made: dict[str, Any] = json.loads(json.dumps(dict(told), default=_text), parse_constant=str)
    return made


def _text(value: Any) -> str:
    return value.hex(" ") if isinstance(value, bytes) else str(value)
