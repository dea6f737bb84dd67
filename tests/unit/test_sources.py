"""Where settings come from: flags > environment > .env > kafka-orders.toml > program > defaults."""

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
