"""Where settings come from: flags > environment > .env > kafka-orders.toml > program > defaults."""

import traceback
from pathlib import Path

import pytest

from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.settings import DECLARED, Settings
from kafka_orders.sources import as_environment, from_environment, home_folder, load, load_with_sources

#: Strongest first; each source sets ``count`` to its place here.
SOURCES = ["command line", "environment", ".env", "kafka-orders.toml", "program"]


def load_from(folder: Path, present: list[str]):
    """Load ``count`` with only some of the sources present."""
    told = {name: number for number, name in enumerate(SOURCES, 1) if name in present}
    if ".env" in told:
        (folder / ".env").write_text(f"KAFKA_ORDERS_COUNT={told['.env']}\n")
    if "kafka-orders.toml" in told:
        (folder / "kafka-orders.toml").write_text(f"count = {told['kafka-orders.toml']}\n")
    return load_with_sources(
        {"count": told.get("command line")},
        environ={"KAFKA_ORDERS_COUNT": str(told["environment"])} if "environment" in told else {},
        folder=folder,
        defaults={"count": told["program"]} if "program" in told else None,
    )


@pytest.mark.parametrize("strongest", range(len(SOURCES)), ids=SOURCES)
def test_a_source_is_stronger_than_all_that_follow(strongest, tmp_path: Path) -> None:
    """Each in turn, with all weaker ones present."""
    settings, sources = load_from(tmp_path, SOURCES[strongest:])
    assert (settings.count, sources["count"]) == (strongest + 1, SOURCES[strongest])


@pytest.mark.parametrize("only", SOURCES)
def test_every_source_is_read_by_itself(only, tmp_path: Path) -> None:
    """Alone it is stronger than the default."""
    settings, sources = load_from(tmp_path, [only])
    assert (settings.count, sources) == (SOURCES.index(only) + 1, {"count": only})


def test_without_any_source_the_defaults_hold(tmp_path: Path) -> None:
    """Only the home folder is made absolute."""
    settings, sources = load_with_sources(environ={}, folder=tmp_path)
    assert sources == {}
    assert all(getattr(settings, name) == getattr(Settings(), name) for name in DECLARED if name != "home")
    assert settings.home == str(home_folder())


def test_strangers_variables_are_left_alone(tmp_path: Path) -> None:
    """Other programs', the tests' own, and those that are set to nothing."""
    (tmp_path / ".env").write_text(
        "PATH=/x\nCOUNT=5\nKAFKA_ORDERS_TEST_BOOTSTRAP=x\nKAFKA_ORDERS_RATE=\nKAFKA_ORDERS_SEED\n"
    )
    environ = {"COUNT": "7", "KAFKA_ORDERS_TEST_X": "1", "KAFKA_ORDERS_COUNT": "", "kafka_orders_count": "3"}
    assert load_with_sources(environ=environ, folder=tmp_path)[1] == {}


def test_the_process_environment_and_folder_are_the_default(tmp_path: Path, monkeypatch) -> None:
    """A program gives neither."""
    (tmp_path / "kafka-orders.toml").write_text("count = 4\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KAFKA_ORDERS_TOPIC", "elsewhere")
    settings = load()
    assert (settings.count, settings.topic) == (4, "elsewhere")


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        (".env", b"KAFKA_ORDERS_TPOIC=x", r"\.env: there is no setting tpoic; did you mean topic"),
        (".env", b"KAFKA_ORDERS_COUNT=x", r"\.env: count = 'x'"), (".env", b"\xff\xfe", r"\.env: cannot be read"),
        ("kafka-orders.toml", b"tpoic = 1", r"toml: there is no setting tpoic"),
        ("kafka-orders.toml", b"count = 'x'", r"toml: count = 'x'"),
        ("kafka-orders.toml", b"\xff", r"toml: cannot be read"), ("kafka-orders.toml", b"a b", r"toml: cannot be"),
    ],
)  # fmt: skip
def test_a_broken_file_is_named(file, content, says, tmp_path: Path) -> None:
    """A usage error, with file and cause."""
    (tmp_path / file).write_bytes(content)
    with pytest.raises(SettingsError, match=says) as refused:
        load(environ={}, folder=tmp_path)
    assert refused.value.exit_code == 2


def test_the_home_folder_is_absolute(tmp_path: Path, monkeypatch) -> None:
    """A tilde is the user's, a relative one is the working directory's."""
    monkeypatch.chdir(tmp_path)
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path / "ann"))
    assert home_folder("data") == tmp_path / "data"
    assert home_folder("~/data") == tmp_path / "ann/data"
    assert load({"home": "data"}, environ={}, folder=tmp_path).home == str(tmp_path / "data")


def test_a_childs_environment_holds_only_what_is_set(tmp_path: Path) -> None:
    """Texts, numbers, lists and pairs; zero is a value, nothing is none."""
    told = as_environment(load({"kafka": {"a": "1", "b": "2"}, "fail": "A,B"}, environ={}, folder=tmp_path))
    assert (told["KAFKA_ORDERS_KAFKA"], told["KAFKA_ORDERS_FAIL"], told["KAFKA_ORDERS_COUNT"]) == (
        '{"a": "1", "b": "2"}', "A,B", "0",
    )  # fmt: skip
    assert "KAFKA_ORDERS_SEED" not in told
    assert "KAFKA_ORDERS_HANDLER" not in told


def test_a_file_gives_any_setting_its_value(tmp_path: Path, monkeypatch) -> None:
    """Named in the environment or in .env, stripped; what is empty is not set, and a child needs no file."""
    for name, held in {"count": " 7\n", "topic": "elsewhere\n", "seed": "", "rate": "3"}.items():
        (tmp_path / name).write_text(held)
    (tmp_path / ".env").write_text(f"KAFKA_ORDERS_RATE_FILE={tmp_path}/rate\nKAFKA_ORDERS_COUNT=5\n")
    environ = {f"KAFKA_ORDERS_{name}_FILE": f"{tmp_path}/{name.lower()}" for name in ("COUNT", "TOPIC", "SEED")}
    settings, sources = load_with_sources(environ=environ, folder=tmp_path)
    assert (settings.count, settings.topic, settings.seed, settings.rate) == (7, "elsewhere", None, 3.0)
    assert sources == {"count": "environment", "topic": "environment", "rate": ".env"}
    for name, path in environ.items():
        monkeypatch.setenv(name, path)
    assert from_environment("count") == 7
    assert load(environ={**environ, **as_environment(settings)}, folder=tmp_path) == settings


@pytest.mark.parametrize(
    "held",
    [
        "# login\nsasl.password=a,b=c #1\n\n  client.rack = r\n",
        '{"sasl.password": "a,b=c #1", "client.rack": "r"}',
    ],
)
def test_client_properties_stand_in_a_file_line_by_line_or_as_json(held, tmp_path: Path) -> None:
    """Any character may be in a password, but no blank at its ends in a line."""
    (tmp_path / "secrets").write_text(held)
    settings = load(environ={"KAFKA_ORDERS_KAFKA_FILE": f"{tmp_path}/secrets"}, folder=tmp_path)
    assert settings.kafka == {"sasl.password": "a,b=c #1", "client.rack": "r"}


def test_client_properties_of_all_sources_come_together(tmp_path: Path) -> None:
    """The strongest wins property by property; a flag drops nothing of the others, and all are told."""
    (tmp_path / "kafka-orders.toml").write_text('[kafka]\n"sasl.username" = "weak"\n"client.rack" = "r"\n')
    (tmp_path / ".env").write_text("KAFKA_ORDERS_KAFKA=sasl.username=strong\n")
    settings, sources = load_with_sources(
        {"kafka": ("sasl.username=strong", "debug=all")},
        environ={"KAFKA_ORDERS_KAFKA": "sasl.password=hush"},
        folder=tmp_path,
    )
    assert settings.kafka == {
        "sasl.username": "strong", "debug": "all", "sasl.password": "hush", "client.rack": "r",
    }  # fmt: skip
    assert sources["kafka"] == "command line, environment, kafka-orders.toml"


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"KAFKA": "a=1", "KAFKA_FILE": "secrets"}, "KAFKA_ORDERS_KAFKA and KAFKA_ORDERS_KAFKA_FILE are both set"),
        ({"KAFKA_FILE": "none"}, "KAFKA_ORDERS_KAFKA_FILE: none cannot be read (No such file or directory)"),
        ({"KAFKA_FILE": "binary"}, "KAFKA_ORDERS_KAFKA_FILE: binary cannot be read (it is not UTF-8 text)"),
        ({"KAFKA_FILE": "secrets"}, "environment: kafka = ... is not key=value"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_never_shown(environ, says, tmp_path: Path, monkeypatch) -> None:
    """In the environment or in .env; the message has no part of the content, and no cause that has."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secrets").write_text("hush")
    (tmp_path / "binary").write_bytes(b"hush\xff")
    told = {f"KAFKA_ORDERS_{name}": value for name, value in environ.items()}
    for where in ("environment", ".env"):
        if where == ".env":
            (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in told.items()))
        with pytest.raises(SettingsError) as refused:
            load(environ=told if where == "environment" else {}, folder=tmp_path)
        assert says.replace("environment:", f"{where}:") in str(refused.value)
        assert "hush" not in "".join(traceback.format_exception(refused.value))
        assert refused.value.exit_code == 2


@pytest.mark.parametrize("secret", ["sasl.password", "ssl.key.pem", "ssl.key.password"])
def test_a_secret_on_the_command_line_is_refused(secret, tmp_path: Path) -> None:
    """By its name, with the better ways; what is no secret passes."""
    with pytest.raises(SettingsError) as refused:
        load({"kafka": ("client.rack=r", f"{secret}=hush")}, environ={}, folder=tmp_path)
    assert str(refused.value) == (
        f"command line: {secret} is a secret that all can read there: set it in KAFKA_ORDERS_KAFKA, in .env, or in"
        " a file that KAFKA_ORDERS_KAFKA_FILE names"
    )
    load({"kafka": ("ssl.key.location=k", "sasl.oauthbearer.token.endpoint.url=u")}, environ={}, folder=tmp_path)
    with pytest.raises(SettingsError, match=f"{secret} is a secret"):
        load({"kafka": (f"client.rack=r,{secret}=hush",)}, environ={}, folder=tmp_path)


def test_what_a_file_holds_is_in_no_error(tmp_path: Path) -> None:
    """A secret under the wrong variable's name is not printed either."""
    (tmp_path / "secret").write_text("hush")
    for name in ("SEED", "LOG_FORMAT"):
        with pytest.raises(SettingsError) as refused:
            load(environ={f"KAFKA_ORDERS_{name}_FILE": f"{tmp_path}/secret"}, folder=tmp_path)
        assert "hush" not in str(refused.value)


def test_two_spellings_of_one_property_are_one(tmp_path: Path) -> None:
    """The stronger source's mechanism is the one that counts."""
    (tmp_path / "kafka-orders.toml").write_text('[kafka]\n"sasl.mechanisms" = "PLAIN"\n')
    settings = load(environ={"KAFKA_ORDERS_KAFKA": "sasl.mechanism=SCRAM-SHA-512"}, folder=tmp_path)
    assert settings.kafka == {"sasl.mechanism": "SCRAM-SHA-512"}


def test_one_setting_from_the_environment_reads_no_file(tmp_path: Path, monkeypatch) -> None:
    """A broken file in the working directory is no obstacle to an import; a broken variable is."""
    (tmp_path / ".env").write_bytes(b"\xff")
    (tmp_path / "kafka-orders.toml").write_text("= broken")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KAFKA_ORDERS_MAX_RETRIES", "7")
    assert from_environment("max_retries") == 7
    monkeypatch.setenv("KAFKA_ORDERS_MAX_RETRIES", "many")
    with pytest.raises(SettingsError, match="environment: max_retries = 'many'"):
        from_environment("max_retries")
