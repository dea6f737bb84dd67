"""What changes seldom and costs a question: topics, group members, what the dead letter viewer has shown."""

from __future__ import annotations

from kafka_orders.domain.errors import KafkaOrdersError
from kafka_orders.domain.records import Slot
from kafka_orders.domain.settings import Settings
from kafka_orders.log import members, topics
from kafka_orders.log.admin import Admin
from kafka_orders.report.model import GroupState, Member, Topic

#: Looked at so often, in seconds.
EVERY_SECONDS = 5.0
#: Settings of topics are checked so often, in looks.
_CHECK_EVERY = 6


class Surroundings:
    """The topics and groups of a pipeline as they were at the last look."""

    def __init__(self, settings: Settings, admin: Admin) -> None:
        self._settings, self._admin = settings, admin
        self._looked_at, self._looks = float("-inf"), 0
        self._ids: dict[str, str] = {}
        self._complaints: dict[str, tuple[str, ...]] = {}
        #: Each topic's name and what it is for.
        self.topics = {
            settings.topic: "orders", settings.retry_topic: "retries", settings.dlq_topic: "dead letters",
            settings.averages_topic: "averages", settings.dlq_status_topic: "statuses",
        }  # fmt: skip
        self.counts: dict[str, int] = {}
        self.slots: list[Slot] = []
        self.groups: tuple[GroupState, ...] = ()
        self.shown: dict[Slot, int | None] = {}

    def look(self, monotonic: float) -> None:
        """Look again, if it is time to.

        Raises:
            BrokerError: a topic does not exist.
        """
        if monotonic - self._looked_at < EVERY_SECONDS:
            return
        self.slots = [slot for name in self.topics for slot in self._admin.slots(name)]
        self.counts = {name: sum(slot.topic == name for slot in self.slots) for name in self.topics}
        self._look_at_groups()
        if self._looks % _CHECK_EVERY == 0:
            self._check()
        self._looks += 1
        self._looked_at = monotonic

    def _look_at_groups(self) -> None:
        settings = self._settings
        try:
            found = members.groups(self._admin, [settings.group, settings.retry_group, settings.dlq_group])
            shown = [slot for slot in self.slots if slot.topic == settings.dlq_topic]
            self.shown = self._admin.committed(settings.dlq_group, shown)
        except KafkaOrdersError:
            return  # no right to describe groups: all else can still be shown
        self.groups = tuple(
            GroupState(
                one.group, one.state,
                tuple(Member(one.group, each.member, each.client, each.host, tuple(map(str, each.slots)))
                      for each in one.members),
            )
            for one in found
        )  # fmt: skip

    def _check(self) -> None:
        try:
            wanted = topics.fitting(self._admin, self._settings)
            said = topics.check(self._admin, wanted)
        except KafkaOrdersError:
            return  # no right to look at settings
        self._complaints = {
            name: tuple(one for one in said if one.split()[1].strip(":") == name) for name in self.topics
        }

    def told(self, ends: dict[str, int]) -> tuple[Topic, ...]:
        """Return the topics; ``ends`` is how many records each may hold."""
        return tuple(
            Topic(name, role, self.counts.get(name, 0), ends.get(name, 0), self._complaints.get(name, ()))
            for name, role in self.topics.items()
        )
