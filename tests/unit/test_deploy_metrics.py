"""What deploy/ has for Prometheus and Grafana is valid, alerts fire and resolve, every name is one of ours."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import click
import pytest
from ruamel.yaml import YAML

from kafka_orders.cli import root
from kafka_orders.views.metrics import ROLE_METRICS
from kafka_orders.web.exposition import REPORT_METRICS

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
PROMETHEUS, DASHBOARD = DEPLOY / "prometheus", DEPLOY / "grafana/kafka-orders.json"

#: Name, kind, labels.
METRICS = tuple({name: (name, kind, labels) for name, kind, _, labels in ROLE_METRICS + REPORT_METRICS}.values())
#: What a metric's series are called, by its kind.
ENDINGS = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
#: Series and the metric that they belong to; series and the labels that they have, Prometheus's own included.
SERIES = {f"kafka_orders_{name}{end}": name for name, kind, *_ in METRICS for end in ENDINGS[kind]}
LABELS = {
    f"kafka_orders_{name}{end}": {*labels, "job", "instance", *(["le"] if end == "_bucket" else [])}
    for name, kind, *_, labels in METRICS
    for end in ENDINGS[kind]
}
#: Grafana's variables in an expression, and what stands for them.
VARIABLES = {"$__rate_interval": "1m"}
ROWS = ["Flow", "Latency", "Lag", "Retry", "Dead letters", "Transactions"]


def loaded(name: str) -> Any:
    return YAML(typ="safe", pure=True).load(PROMETHEUS / name)


def rules() -> list[dict[str, Any]]:
    return [rule for group in loaded("alerts.yml")["groups"] for rule in group["rules"]]


def strict(text: str) -> Any:
    """Load JSON that has each key once, and no NaN."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names)), f"a key stands there twice: {names}"
        return dict(pairs)

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, object_pairs_hook=once, parse_constant=refuse)


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = strict(DASHBOARD.read_text(encoding="utf-8"))
    return found


def strings(held: Any) -> Iterator[str]:
    """Every string in it, wherever it stands."""
    if isinstance(held, str):
        yield held
    elif isinstance(held, dict | list):
        for one in held.values() if isinstance(held, dict) else held:
            yield from strings(one)


def panel_expressions() -> list[str]:
    return [one["expr"] for panel in dashboard()["panels"] for one in panel.get("targets", [])]


def alert_expressions() -> list[str]:
    return [rule["expr"] for rule in rules()]


def series_in(text: str) -> set[str]:
    return set(re.findall(r"\bkafka_orders_\w+", text))


def seconds(time: str) -> int:
    """Prometheus's duration, without its rarer units."""
    parts = re.findall(r"(\d+)([smhd])", time)
    assert parts and "".join(map("".join, parts)) == time, time
    return sum(int(number) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[unit] for number, unit in parts)


def promtool(*arguments: str, cwd: Path = PROMETHEUS) -> str:
    found = shutil.which("promtool")
    if found is None:
        reason = "promtool is not installed (package prometheus): the rules cannot be checked"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    done = subprocess.run([found, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_rules_are_valid() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", "alerts.yml")


def test_the_configuration_is_valid_and_finds_the_rules() -> None:
    assert "1 rule files found" in promtool("check", "config", "prometheus.yml")


def test_every_alert_fires_and_resolves_as_told() -> None:
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yml")


def test_every_expression_of_the_dashboard_is_valid(tmp_path: Path) -> None:
    made = []
    for number, text in enumerate(panel_expressions()):
        for variable, value in VARIABLES.items():
            text = text.replace(variable, value)  # noqa: PLW2901  # one after the other
        assert "$" not in text, f"a variable that no test knows: {text}"
        made.append({"record": f"panel_{number}", "expr": text})
    (tmp_path / "panels.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": made}]}))
    assert f"{len(made)} rules found" in promtool("check", "rules", "panels.yml", cwd=tmp_path)


def test_every_alert_has_a_test_in_which_it_fires_and_one_later_in_which_it_does_not() -> None:
    """The name counts: an empty list of alerts under a misspelt one is always right."""
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    resolved = set()
    for test in loaded("alerts_test.yml")["tests"]:
        fired = set()
        for look in sorted(test["alert_rule_test"], key=lambda one: seconds(one["eval_time"])):
            assert look["alertname"] in names, look["alertname"]
            if look["exp_alerts"]:
                fired.add(look["alertname"])
            elif look["alertname"] in fired:
                resolved.add(look["alertname"])
    assert set(names) - resolved == set()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_happened_and_what_to_do(rule: dict[str, Any]) -> None:
    """It names a command that is there."""
    assert set(rule["labels"]) == {"severity"}
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert set(rule["annotations"]) == {"summary", "description"}
    told = rule["annotations"]["summary"] + rule["annotations"]["description"]
    assert re.search(r"\b(lost|missing|dead)\b|not touched", rule["annotations"]["summary"]), "what of the data?"
    assert re.search(r"`kafka-orders (lag|dlq|verify|doctor)\b", rule["annotations"]["description"])
    for command in re.findall(r"`kafka-orders ([^`]+)`", told):
        verb, *rest = command.split()
        if verb == "serve":  # an extra
            continue
        with click.Context(root) as context:
            found = root.get_command(context, verb)
            if isinstance(found, click.Group):
                found, rest = found.get_command(context, rest[0]), rest[1:]
        assert found is not None, command
        flags = {flag for one in found.params for flag in one.opts}
        assert {word for word in rest if word.startswith("--")} <= flags, command


@pytest.mark.parametrize("expression", [*alert_expressions(), *panel_expressions()])
def test_only_series_and_labels_that_exist_are_asked_for(expression: str) -> None:
    assert series_in(expression) <= set(SERIES)
    every = {"up": {"job", "instance"}, **LABELS}
    for name, chosen in re.findall(r"\b(\w+)\{([^}]*)\}", expression):
        assert set(re.findall(r"(\w+)\s*[=!]", re.sub(r'"[^"]*"', '""', chosen))) <= every[name], name
    had = set().union(*(every[name] for name in re.findall(r"\w+", expression) if name in every))
    for group in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression):
        assert set(re.findall(r"\w+", group)) <= had, group


@pytest.mark.parametrize(
    "name", ["alerts.yml", "alerts_test.yml", "prometheus.yml", "../grafana/kafka-orders.json"]
)
def test_no_other_name_stands_anywhere(name: str) -> None:
    """In texts and tests too."""
    assert series_in((PROMETHEUS / name).read_text(encoding="utf-8")) <= set(SERIES)


def test_the_dashboard_shows_every_metric() -> None:
    shown = {SERIES[name] for one in panel_expressions() for name in series_in(one)}
    assert {name for name, *_ in METRICS} - shown <= {"build_info"}


def test_the_dashboard_has_its_rows_and_asks_the_chosen_datasource() -> None:
    found = dashboard()
    assert found["schemaVersion"] >= 39
    assert [one["title"] for one in found["panels"] if one["type"] == "row"] == ROWS
    assert found["panels"][0]["type"] == "row", "every panel stands in a row"
    variables = {one["name"]: one for one in found["templating"]["list"]}
    assert set(variables) == {"datasource"}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    asking = [one for one in found["panels"] if one["type"] != "row"]
    for one in (*asking, *(target for panel in asking for target in panel["targets"])):
        assert one["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for one in asking:
        assert one["title"] and one["description"] and one["targets"], one["title"]


def test_legends_name_labels_that_the_expression_keeps() -> None:
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"])))) - {"le"}
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept, panel["title"]


def test_panels_have_their_own_ids_and_places() -> None:
    panels = dashboard()["panels"]
    assert len({one["id"] for one in panels}) == len(panels)
    boxes = [(one["title"], one["gridPos"]) for one in panels]
    assert all(box["x"] + box["w"] <= 24 for _, box in boxes)
    for (name, one), (other, two) in combinations(boxes, 2):
        beside = one["x"] + one["w"] <= two["x"] or two["x"] + two["w"] <= one["x"]
        below = one["y"] + one["h"] <= two["y"] or two["y"] + two["h"] <= one["y"]
        assert beside or below, f"{name} lies over {other}"


def test_the_dashboard_names_no_host_and_no_path_of_a_machine() -> None:
    for text in strings(dashboard()):
        assert not re.search(r"://|localhost|\b\d+\.\d+\.\d+\.\d+\b|\b[\w-]+:\d{2,5}\b", text), text
        assert not re.search(r"^/|(?<![\w/.])/(?:home|root|work|tmp|usr|etc|opt|var|Users)\b|\b[A-Z]:\\", text), (
            text
        )


def test_all_roles_and_the_report_are_scraped() -> None:
    """Their names are those that the alerts look for."""
    found = loaded("prometheus.yml")
    jobs = {one["job_name"]: one["static_configs"][0]["targets"] for one in found["scrape_configs"]}
    assert jobs == {
        "kafka-orders-produce": ["127.0.0.1:9101"],
        "kafka-orders-consume": ["127.0.0.1:9102"],
        "kafka-orders-retry": ["127.0.0.1:9103"],
        "kafka-orders-serve": ["127.0.0.1:8090"],
    }
    assert found["rule_files"] == ["alerts.yml"]
    shortest = min(seconds(one) for text in alert_expressions() for one in re.findall(r"\[(\d+[smhd])[\]:]", text))
    assert 4 * seconds(found["global"]["scrape_interval"]) <= shortest, "a rate needs a few samples"
