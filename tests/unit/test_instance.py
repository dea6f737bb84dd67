"""The identity of a process: unique while it lives, the same after a restart."""

from pathlib import Path

import pytest

from kafka_orders.domain.errors import KafkaOrdersError
from kafka_orders.pipeline import instance
from kafka_orders.pipeline.instance import Identity, instance_name


def test_slots_are_numbered_and_the_first_free_is_taken(tmp_path: Path) -> None:
    """Three in one process take three slots; what one releases the next takes."""
    held = [Identity("g", "box", tmp_path) for _ in range(3)]
    assert [one.transactional_id for one in held] == ["g-box-0", "g-box-1", "g-box-2"]
    held[1].release()
    assert Identity("g", "box", tmp_path).transactional_id == "g-box-1"


def test_groups_and_instances_do_not_share_slots(tmp_path: Path) -> None:
    """Each has a first one."""
    held = [Identity(group, name, tmp_path) for group, name in (("g", "a"), ("g", "b"), ("h", "a"))]
    assert [one.transactional_id for one in held] == ["g-a-0", "g-b-0", "h-a-0"]


def test_a_name_that_is_no_file_name_is_held_too(tmp_path: Path) -> None:
    """The lock stays inside its folder; the id is as it was configured."""
    held = [Identity("../g", "a/b:c", tmp_path) for _ in range(2)]
    assert [one.transactional_id for one in held] == ["../g-a/b:c-0", "../g-a/b:c-1"]
    assert {path.parent for path in tmp_path.rglob("*.lock")} == {tmp_path / "locks"}


def test_the_name_is_host_and_folder_unless_it_is_given(tmp_path: Path, monkeypatch) -> None:
    """Stable for a folder, different for another or on another machine."""
    monkeypatch.setattr("socket.gethostname", lambda: "box")
    name = instance_name("", tmp_path)
    assert name == instance_name("", tmp_path)
    assert name.startswith("box-")
    assert name != instance_name("", tmp_path / "other")
    assert instance_name("mine", tmp_path) == "mine"


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """With what to do; no order was touched."""
    (tmp_path / "locks").write_text("a file where a folder should be")
    with pytest.raises(KafkaOrdersError, match=r"locks cannot be used .*KAFKA_ORDERS_HOME"):
        Identity("g", "", tmp_path)


def test_too_many_workers_are_a_mistake(tmp_path: Path, monkeypatch) -> None:
    """The search for a slot ends."""
    monkeypatch.setattr(instance, "_MOST_SLOTS", 2)
    held = [Identity("g", "box", tmp_path) for _ in range(2)]
    with pytest.raises(KafkaOrdersError, match="2 workers of g-box run here already"):
        Identity("g", "box", tmp_path)
    assert len(held) == 2
