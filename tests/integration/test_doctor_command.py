"""``doctor`` on real brokers: each trouble is found, with its fix and the right exit code."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from kafka_orders.domain.records import Slot
from kafka_orders.local.checks import free_ports
from kafka_orders.log.admin import Admin
from kafka_orders.log.patience import Patience
from kafka_orders.pipeline import upkeep
from kafka_orders.pipeline.startup import connection_of, contact
from kafka_orders.views.doctor import Finding
from kafka_orders.views.examination import examine
from tests.conftest import CACHE
from tests.support.pipeline import Pipeline
from tests.support.registry import BROKEN, Registry
from tests.support.secure import other_authority, secure_broker
from tests.support.stub_registry import stub_registry
from tests.support.waiting import eventually
from tests.support.witness import shards

pytestmark = pytest.mark.broker

DAY_MS = 24 * 3_600_000


def diagnose(line: Pipeline, code: int, **extra: str) -> list[dict[str, str]]:
    """Return the findings of the command, which has to end with ``code``."""
    done = line.run("doctor", "-o", "json", **extra)
    assert done.returncode == code, done.stdout + done.stderr
    found: list[dict[str, str]] = json.loads(done.stdout)
    assert all(one.keys() == {"check", "level", "found", "fix"} for one in found)
    assert all(bool(one["fix"]) == (one["level"] != "ok") for one in found)
    return found


def of(found: list[dict[str, str]], level: str) -> list[tuple[str, str]]:
    return [(one["check"], one["found"]) for one in found if one["level"] == level]


def alter(line: Pipeline, topic: str, name: str, value: str) -> None:
    wrong = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    asked = [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[wrong])]
    client = AdminClient({"bootstrap.servers": line.bootstrap})
    for future in client.incremental_alter_configs(asked).values():
        future.result()


def test_all_is_well_before_and_after_work(line: Pipeline) -> None:
    """Exit 0 on a fresh pipeline, and while a worker runs."""
    settings = line.settings()
    upkeep.create(settings, lambda _: None)
    found = diagnose(line, 0)
    assert (of(found, "warning"), of(found, "problem")) == ([], [])
    checks = "versions settings registry broker topics groups retention clock transactions"
    assert list(dict.fromkeys(one["check"] for one in found)) == checks.split()
    line.produce(20)
    role = line.start("-m", "kafka_orders", "consume")
    eventually(lambda: sum(shards(line.bootstrap, settings.averages_topic)[0].values()) == 20, 30)
    found = diagnose(line, 0)
    assert of(found, "warning") == []
    assert ("groups", f"{settings.group}: 1 members, lag 0, 0 not due yet") in of(found, "ok")
    assert role.stop() == 0


def test_what_is_wrong_is_found_in_one_go(line: Pipeline) -> None:
    """Topics, settings and retention; each with its fix."""
    settings = line.settings()
    upkeep.create(settings, lambda _: None)
    alter(line, settings.topic, "max.message.bytes", "2000000")
    alter(line, settings.dlq_topic, "max.message.bytes", "100000")
    alter(line, settings.averages_topic, "cleanup.policy", "delete")
    producer = Producer({"bootstrap.servers": line.bootstrap})
    producer.produce(settings.topic, b"x", partition=1, timestamp=int(time.time() * 1000) - 5 * DAY_MS)
    assert producer.flush(10) == 0
    found = diagnose(line, 1, MAX_RETRIES="9", SESSION_TIMEOUT_MS="2000", KAFKA="enable.auto.commit=true")
    room = 2_000_000 + 64 * 1024
    averages, retry, dlq = settings.averages_topic, settings.retry_topic, settings.dlq_topic
    problems, fixes = of(found, "problem"), {one["found"]: one["fix"] for one in found}
    assert [check for check, _ in problems] == ["settings", "broker", "topics", "topics", "topics"]
    told = [text for _, text in problems]
    assert "enable.auto.commit moves offsets" in told[0]
    assert "session timeout of 2000 ms" in told[1]
    assert "6000 to 1800000" in fixes[told[1]]
    assert told[2] == f"topic {retry}: max.message.bytes is 1114124, should be {room}"
    assert told[3] == f"topic {dlq}: max.message.bytes is 100000, should be {room}"
    assert fixes[told[3]].endswith(f"--topic {dlq} --add-config max.message.bytes={room}")
    assert told[4] == f"topic {averages}: cleanup.policy is delete, should be compact"
    warnings = of(found, "warning")
    assert [check for check, _ in warnings] == ["topics", "groups", "retention"]
    assert "has 8 partitions, so short delays wait behind long ones" in warnings[0][1]
    assert warnings[2][1].startswith(f"{settings.topic}/1: unread orders have passed half")


def test_missing_topics_are_named(line: Pipeline) -> None:
    """And what cannot be looked at without them is said."""
    found = diagnose(line, 1)
    assert len(of(found, "problem")) == 5
    assert of(found, "problem")[1] == ("topics", f"topic {line.settings().retry_topic} does not exist")
    assert [check for check, _ in of(found, "warning")] == ["groups", "retention", "clock"]


def test_the_schema_registry_is_asked(line: Pipeline, registry: Registry, tmp_path: Path) -> None:
    """Its subject, with or without our schema, and one that it would not take; then a registry that is away."""

    def seen(**extra: str) -> tuple[str, str, str]:
        found = examine(replace(line, extra={"REGISTRY_URL": registry.url, **extra}).settings(), {})
        (one,) = [one for one in found if one.check == "registry"]
        return one.level, one.found, one.fix

    upkeep.create(line.settings(), lambda _: None)
    subject = f"{line.settings().topic}-value"
    level, found, _ = seen()
    assert (level, found.split("; ")[1]) == (
        "ok",
        f"{subject} has 0 versions, this schema would be taken as the next",
    )
    assert re.match(rf"{registry.url} answers in \d+ ms; ", found)
    line.run("schema", "register", REGISTRY_URL=registry.url)
    assert seen()[1].endswith(f"{subject} has 1 versions, this schema is one of them")
    (tmp_path / "broken.avsc").write_text(BROKEN["avro"])
    level, found, fix = seen(SCHEMA=str(tmp_path / "broken.avsc"))
    assert (level, "does not take this schema: nothing can be sent" in found) == ("problem", True)
    assert "schema check" in fix
    level, _, fix = seen(REGISTRY_URL=f"{registry.url}/elsewhere")
    assert (level, "mend the path" in fix) == ("problem", True)
    level, found, fix = seen(REGISTRY_URL="me:secret@localhost:8081")
    assert (level, "has to begin with http:// or https://: 'localhost:8081'" in found) == ("problem", True)
    assert ("KAFKA_ORDERS_REGISTRY_URL" in fix, "secret" in found + fix) == (True, False)
    found = diagnose(line, 1, REGISTRY_URL=f"http://127.0.0.1:{free_ports(1)[0]}")
    assert [check for check, _ in of(found, "problem")] == ["registry"]
    assert [one["fix"] for one in found if one["check"] == "registry"] == [
        "start it, or mend KAFKA_ORDERS_REGISTRY_URL"
    ]


@pytest.mark.parametrize(
    ("fault", "secret", "level", "said", "fix"),
    [
        (None, "Basic bWU6cmlnaHQ=", "ok", " ms, takes the login; ", ""),
        (None, "Basic another", "problem", "HTTP 401 (who are you?)", "right login"),
        (403, None, "problem", "HTTP 403", "right login"),
        ("{}", None, "problem", "does not answer", "start it"),
        (500, None, "problem", "HTTP 500 (told to fail)", "its log"),
    ],
)
def test_what_a_registry_may_say(
    line: Pipeline, fault: int | str | None, secret: str | None, level: str, said: str, fix: str
) -> None:
    """Logins and answers that are none; whatever it is, the broker is looked at, too."""
    with stub_registry() as stub:
        stub.fault, stub.secret = fault, secret
        line.extra.update(REGISTRY_URL=stub.url, REGISTRY="basic.auth.user.info=me:right,max.retries=0")
        found = list(examine(line.settings(), {}))
        (one,) = [one for one in found if one.check == "registry"]
        assert (one.level, said in one.found, fix in one.fix) == (level, True, True), one
        assert "right" not in one.found
        assert "broker" in {one.check for one in found}


@pytest.mark.slow
def test_a_hanging_transaction_is_found(line: Pipeline) -> None:
    """An open one that holds back readers longer than any of ours may be open."""
    settings = line.settings()
    upkeep.create(settings, lambda _: None)
    producer = Producer(
        {"bootstrap.servers": line.bootstrap, "transactional.id": line.name, "transaction.timeout.ms": 60_000}
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(settings.topic, b"x", partition=2)
    assert producer.flush(10) == 0
    (found,) = [one for one in diagnose(line, 1) if one["level"] == "problem"]
    assert found["check"] == "transactions"
    assert f"{settings.topic}/2: a transaction stays open at offset 0" in found["found"]
    assert f"--topic {settings.topic} --partition 2 --start-offset 0" in found["fix"]
    producer.abort_transaction(10)


def test_why_no_broker_answers(tmp_path: Path) -> None:
    """Exit 3, with the reason that only the client's callbacks know, seen on real listeners."""
    with secure_broker(tmp_path, CACHE) as broker, closing(socket.create_server(("127.0.0.1", 0))) as deaf:
        # A broker's very first question about a group: librdkafka's own admin request dies of the answer.
        settings, somewhere = Pipeline(broker.plaintext, tmp_path).settings(), Slot("somewhere", 0)
        admin = Admin(connection_of(settings), Patience(limit=30))
        assert admin.committed("nobody", [somewhere]) == {somewhere: None}
        hanging_up(deaf)
        tls = f"security.protocol=ssl,ssl.ca.location={broker.authority}"
        distrust = f"security.protocol=ssl,ssl.ca.location={other_authority(tmp_path / 'other.pem')}"
        login = "security.protocol=sasl_plaintext,sasl.username=worker,sasl.mechanism="
        cases = [
            (f"127.0.0.1:{free_ports(1)[0]}", "", "nothing listens there", "kafka-orders broker start"),
            ("no-such-host.invalid:9092", "", "host name is unknown", "KAFKA_ORDERS_BOOTSTRAP_SERVERS"),
            (f"127.0.0.1:{deaf.getsockname()[1]}", "", "hangs up before any answer", "security.protocol=ssl"),
            (broker.tls, "", "a TLS port does without TLS", "security.protocol=ssl"),
            (broker.plaintext, tls, "TLS was spoken to a port without TLS", "Take ssl out"),
            (broker.tls, distrust, "certificate is not of an authority known here", "ssl.ca.location"),
            (
                broker.scram,
                f"{login}SCRAM-SHA-512,sasl.password=wrong",
                "refuses user name or password",
                "password",
            ),
            (broker.scram, f"{login}PLAIN,sasl.password=right", "it takes no such login", "sasl.mechanism"),
            (broker.scram, "", "somebody who does not log in", "security.protocol"),
        ]

        def last(case: tuple[str, str, str, str]) -> Finding:
            line = Pipeline(case[0], tmp_path, extra={"KAFKA": case[1], "PLAIN_WITHOUT_TLS": "allow"})
            return list(examine(line.settings(), {}))[-1]

        command = Pipeline(cases[0][0], tmp_path).start("-m", "kafka_orders", "doctor")
        with ThreadPoolExecutor(len(cases)) as pool:
            for (_, _, reason, fix), found in zip(cases, pool.map(last, cases), strict=True):
                assert (found.check, found.level) == ("broker", "problem")
                assert reason in found.found
                assert fix in found.fix
        assert command.process.wait(20) == 3
        lines = command.text().splitlines()
        assert [line.split()[:2] for line in lines] == [
            ["ok", "versions"], ["ok", "settings"], ["ok", "registry"], ["problem", "broker"],
        ]  # fmt: skip
        assert "Connection refused" in lines[-1]
        assert " -> Start one with `kafka-orders broker start`" in lines[-1]
        right = f"{login}SCRAM-SHA-512,sasl.password=right"
        for servers, properties in ((broker.tls, tls), (broker.scram, right)):
            contact(Pipeline(servers, tmp_path, extra={"KAFKA": properties}).settings())


def hanging_up(server: socket.socket) -> None:
    """Close each connection at once, until the server is closed."""

    def serve() -> None:
        while True:
            try:
                server.accept()[0].close()
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()


def test_a_property_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    """Exit 2 without a trace, here and in every command that reaches for a broker."""
    for verb in ("doctor", "lag"):
        done = Pipeline("127.0.0.1:1", tmp_path).run(verb, KAFKA="nonsense=1")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert 'No such configuration property: "nonsense"' in done.stderr
