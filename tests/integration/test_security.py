"""TLS, logins, permissions and secrets, on a real broker that asks for them; docs/howto/security.md is applied."""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from kafka_orders.domain.errors import NoBrokerError
from kafka_orders.domain.settings import DECLARED, Settings
from kafka_orders.pipeline.startup import contact
from tests.conftest import CACHE
from tests.support.permissions import Permission, grant, listed, take_away
from tests.support.pipeline import Pipeline
from tests.support.secure import USERS, Secure, other_authority, secure_broker
from tests.support.waiting import eventually
from tests.support.witness import read_all, shards

pytestmark = pytest.mark.broker

#: The names on the page are the defaults.
NAMES = {
    name.upper(): getattr(Settings(), name)
    for name in DECLARED
    if name.endswith(("topic", "group")) and name != "output_topic"
}
QUICK = {"MAX_RETRIES": "2", "RETRY_DELAY_MS": "100", "FAIL": "Item3"}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """One broker for all tests here."""
    with secure_broker(tmp_path_factory.mktemp("secure"), CACHE) as made:
        yield made


MADE: list[Pipeline] = []
#: What the broker's log says of a wrong password, and of TLS.
LOGIN, TLS = "invalid credentials", "SSL handshake failed"


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    """What a test started ends with it."""
    yield
    while MADE:
        MADE.pop().close()


def using(servers: str, folder: Path, properties: dict[str, str], **more: str) -> Pipeline:
    """A pipeline whose client properties stand in a file."""
    secrets = folder / f"{properties.get('sasl.username', 'tls')}.properties"
    secrets.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    MADE.append(Pipeline(servers, folder, extra={"KAFKA_FILE": str(secrets), **more}))
    return MADE[-1]


def acting(broker: Secure, folder: Path, role: str, password: str = "") -> Pipeline:
    """The pipeline of the page as one of its roles, with the page's names."""
    return using(broker.scram_tls, folder, broker.login(role, password), **NAMES, **QUICK)


def counted(broker: Secure, topic: str) -> int:
    return sum(shards(broker.plaintext, topic)[0].values())


@pytest.mark.parametrize("login", ["tls", "mutual", "scram_tls"])
def test_orders_go_through(login: str, broker: Secure, tmp_path: Path) -> None:
    """TLS alone, a certificate of the client, SCRAM over TLS: from the producer to the proof."""
    properties = {
        "tls": {"security.protocol": "SSL", "ssl.ca.location": str(broker.authority)},
        "mutual": broker.certificate(tmp_path, "worker"),
        "scram_tls": broker.login("worker"),
    }[login]
    # Whoever comes by TLS alone has no name, and may do all here.
    kinds = ("Topic", "Group", "TransactionalId")
    grant(broker.plaintext, [Permission("worker", kind, "t-", "prefixed", "All") for kind in kinds])
    grant(broker.plaintext, [Permission("worker", "Topic", "t-", "prefixed", "Create")])
    line = using(getattr(broker, login), tmp_path, properties)
    line.produce(20)
    role = line.start("-m", "kafka_orders", "consume")
    eventually(lambda: counted(broker, line.settings().averages_topic) == 20, 30)
    assert role.stop() == 0
    assert "not checked" not in role.text()
    proved = line.run("verify", "--deep")
    assert (proved.returncode, "20 orders = 20 counted" in proved.stdout) == (0, True), proved.stderr


def test_the_list_is_enough(broker: Secure, tmp_path: Path) -> None:
    """The whole pipeline with the page's permissions and no others: all roles, all views."""
    permissions = listed()
    grant(broker.plaintext, permissions)
    operations = {one.operation for one in permissions if one.role != "setup"}
    assert operations == {"Read", "Write", "Describe"}
    assert {one.resource for one in permissions} == {"Topic", "Group", "TransactionalId"}
    roles = {name: acting(broker, tmp_path, name) for name in USERS if name != "worker"}
    assert {one.role for one in permissions} == set(roles)
    assert roles["setup"].run("topics", "create").returncode == 0
    assert roles["setup"].run("topics", "check").returncode == 0
    roles["producer"].produce(60)
    works = [
        roles["main"].start("-m", "consumer.main_consumer"),
        roles["retry"].start("-m", "retry.retry_consumer"),
        roles["viewer"].start("-m", "dlq.dlq_consumer"),
    ]
    dead = sum(order["product"] == "Item3" for order in orders(60))
    eventually(lambda: len(read_all(broker.plaintext, NAMES["DLQ_TOPIC"])) == dead, 40)
    eventually(lambda: works[2].text().count("Simulated temporary error") == dead, 20)
    assert "this user may not read topic settings (DescribeConfigs), so they are not checked" in works[0].text()
    assert [one.stop() for one in works] == [0, 0, 0]
    for view in (["averages"], ["lag"], ["verify", "--deep"]):
        done = roles["reader"].run(*view)
        assert done.returncode == 0, done.stderr
    assert f"60 orders = {60 - dead} counted + 0 waiting for a retry + {dead} dead" in done.stdout


def orders(count: int) -> Iterator[dict[str, object]]:
    """The producer's orders for the seed that `Pipeline.produce` takes."""
    from kafka_orders.pipeline.produce import random_orders

    return (order for order, _ in zip(random_orders(1), range(count), strict=False))


def test_nothing_on_the_list_can_be_left_out(broker: Secure, tmp_path: Path) -> None:
    """Without any one permission of main or retry it ends with exit 1 and names it; granted, it goes on."""
    permissions = listed()
    grant(broker.plaintext, permissions)
    roles = {name: acting(broker, tmp_path, name) for name in ("setup", "producer", "main", "retry", "reader")}
    assert roles["setup"].run("topics", "create").returncode == 0
    before = (counted(broker, NAMES["AVERAGES_TOPIC"]), len(read_all(broker.plaintext, NAMES["DLQ_TOPIC"])))

    def left_out(role: str, verb: str) -> None:
        for one in (one for one in permissions if one.role == role):
            take_away(broker.plaintext, one)
            done = roles[role].run(verb, within=60)
            grant(broker.plaintext, [one])
            assert done.returncode == 1, (one, done.stderr)
            last = done.stderr.splitlines()[-1]
            assert "this user has no permission on the" in last, (one, done.stderr)
            assert one.name in last, (one, last)

    failing = sum(order["product"] == "Item3" for order in orders(40))

    def there_are(rounds: int, dead: int) -> bool:
        letters = len(read_all(broker.plaintext, NAMES["DLQ_TOPIC"])) - before[1]
        return (counted(broker, NAMES["AVERAGES_TOPIC"]) - before[0], letters) == (rounds * (40 - failing), dead)

    roles["producer"].produce(40)
    main = roles["main"].start("-m", "kafka_orders", "consume")
    eventually(lambda: there_are(1, 0), 30)
    assert main.stop() == 0
    roles["producer"].produce(40)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(left_out, ("main", "retry"), ("consume", "retry")))
    assert there_are(1, 0)
    works = [
        roles[role].start("-m", "kafka_orders", verb) for role, verb in (("main", "consume"), ("retry", "retry"))
    ]
    eventually(lambda: there_are(2, 2 * failing), 30)
    assert [one.stop() for one in works] == [0, 0]
    proved = roles["reader"].run("verify", "--deep")
    assert proved.returncode == 0, proved.stdout


def test_a_right_or_a_password_is_lost_while_running(broker: Secure, tmp_path: Path) -> None:
    """Exit 1 by its name; no dead letter, nothing counted twice, and it goes on when that is mended."""
    permissions = listed()
    grant(broker.plaintext, permissions)
    roles = {name: acting(broker, tmp_path, name) for name in ("setup", "producer", "main", "reader")}
    assert roles["setup"].run("topics", "create").returncode == 0
    before = counted(broker, NAMES["AVERAGES_TOPIC"])
    dead = len(read_all(broker.plaintext, NAMES["DLQ_TOPIC"]))
    failing = sum(order["product"] == "Item3" for order in orders(20))
    write = Permission("main", "Topic", NAMES["AVERAGES_TOPIC"], "literal", "Write")
    main = roles["main"].start("-m", "kafka_orders", "consume")
    main.says("restored")
    take_away(broker.plaintext, write)
    roles["producer"].produce(20)
    assert main.process.wait(60) == 1
    assert "no permission on the topic: " in main.text()
    assert write.name in main.text().splitlines()[-1]
    grant(broker.plaintext, [write])
    main = roles["main"].start("-m", "kafka_orders", "consume")
    main.says("restored")
    attempts = broker.refused(LOGIN)
    set_password(broker, "main", "another")
    try:
        assert main.process.wait(60) == 1
        assert "the broker refuses user name or password" in main.text().splitlines()[-1]
        assert broker.refused(LOGIN) - attempts <= 6
        renewed = acting(broker, tmp_path, "main", "another").start("-m", "kafka_orders", "consume")
        renewed.says("restored")
        roles["producer"].produce(20)
        eventually(lambda: counted(broker, NAMES["AVERAGES_TOPIC"]) == before + 2 * (20 - failing), 30)
        assert renewed.stop() == 0
    finally:
        set_password(broker, "main", USERS["main"])
    proved = roles["reader"].run("verify", "--deep")
    assert (proved.returncode, " not read yet" in proved.stdout) == (0, False), proved.stdout
    assert len(read_all(broker.plaintext, NAMES["DLQ_TOPIC"])) == dead


def set_password(broker: Secure, user: str, password: str) -> None:
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    changed = UserScramCredentialUpsertion(user, info, password.encode())
    client = AdminClient({"bootstrap.servers": broker.plaintext})  # it has to live as long as its question
    for done in client.alter_user_scram_credentials([changed]).values():
        done.result()


def test_what_is_said_of_certificates(broker: Secure, tmp_path: Path) -> None:
    """Exit 3 after some two seconds, with the reason, and no storm of handshakes."""
    tls = {"security.protocol": "SSL", "ssl.ca.location": str(broker.authority)}
    named = broker.tls.replace("127.0.0.1", "localhost")
    stranger = broker.certificate(tmp_path, "stranger", trustme.CA())
    unknown = {**tls, "ssl.ca.location": str(other_authority(tmp_path / "other.pem"))}
    cases = [
        (broker.expired, tls, "its certificate has expired", "renewed on the broker"),
        (named, tls, "its certificate is for another host", "as its certificate does"),
        (broker.tls, unknown, "not of an authority known here", "ssl.ca.location"),
        (broker.mutual, tls, "it wants a certificate of this client", "ssl.certificate.location"),
        (broker.mutual, stranger, "it wants a certificate of this client", "ssl.certificate.location"),
        (broker.mutual, broker.certificate(tmp_path, "old", days=-1), "client's certificate: expired", "Check"),
    ]
    before = broker.refused(TLS)

    def told(case: tuple[str, dict[str, str], str, str]) -> tuple[str, float]:
        began = time.monotonic()
        with pytest.raises(NoBrokerError) as refused:
            contact(Settings(case[0], kafka=case[1]))
        assert refused.value.exit_code == 3
        return str(refused.value), time.monotonic() - began

    with ThreadPoolExecutor(len(cases)) as pool:
        for (_, _, reason, fix), (said, took) in zip(cases, pool.map(told, cases), strict=True):
            assert reason in said
            assert fix in said
            assert took < 10
    assert (broker.refused(TLS) - before) / len(cases) < 50


def test_a_wrong_password_is_tried_once(broker: Secure, tmp_path: Path) -> None:
    """Exit 3 at once from every command, `doctor` says it too; a readable one is not sent at all: exit 4."""
    line = using(broker.scram_tls, tmp_path, broker.login("main", "hush-wrong"))
    for verb in ("consume", "produce", "lag", "doctor"):
        before, began = broker.refused(LOGIN), time.monotonic()
        done = line.run(verb)
        assert (done.returncode, time.monotonic() - began < 14) == (3, True), done.stderr
        assert "it refuses user name or password" in done.stdout + done.stderr
        assert 1 <= broker.refused(LOGIN) - before <= 2
    before = broker.refused("Invalid username")
    readable = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "worker"}
    line = using(broker.open_password, tmp_path, {**readable, "sasl.password": "hush-wrong"})
    for verb in ("consume", "produce", "lag", "doctor"):
        done = line.run(verb)
        assert done.returncode == 4, done.stderr
        assert "SASL PLAIN without TLS sends its secret readable" in done.stderr
    assert broker.refused("Invalid username") == before
    contact(
        Settings(broker.open_password, kafka={**readable, "sasl.password": "right"}, plain_without_tls="allow")
    )


def test_no_secret_is_printed(broker: Secure, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not by any command, with debugging on, in a trace, or in the client's own log lines."""
    secret = "hush-wrong"
    properties = broker.login("main", secret)
    line = using(broker.scram_tls, tmp_path, properties)
    for command in (
        ["config", "show"], ["config", "show", "-o", "json"], ["consume", "--kafka", "debug=security"], ["doctor"],
        ["lag", "--kafka", "nonsense=1"], ["lag", "--kafka", f"sasl.mechanism={json.dumps('x')}"],
    ):  # fmt: skip
        done = line.run(*command)
        assert secret not in done.stdout + done.stderr, command
        assert ("********" in done.stdout) == (command[0] == "config")
    flag = using(broker.scram_tls, tmp_path, {}).run("lag", "--kafka", f"sasl.password={secret}")
    assert (flag.returncode, secret in flag.stderr) == (2, False)
    assert "KAFKA_ORDERS_KAFKA_FILE" in flag.stderr
    with caplog.at_level(logging.DEBUG), pytest.raises(NoBrokerError) as refused:
        contact(Settings(broker.scram_tls, kafka={**properties, "debug": "security,conf,broker"}))
    assert caplog.text
    assert secret not in caplog.text + "".join(traceback.format_exception(refused.value))
