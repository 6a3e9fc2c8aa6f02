"""The rules for compatible changes of a contract, and the check against the last release."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from payment_service.contracts.schemas import all_schemas
from scripts import release_contracts
from scripts.compatibility import Side, breaks, broken_by
from scripts.release_contracts import broken_since, keep, made_now, read, releases

READS, WRITES = Side.READS, Side.WRITES
BOTH = {READS, WRITES}


def of(**fields: Any) -> dict[str, Any]:
    """Return an object schema with these required fields."""
    return {"type": "object", "required": sorted(fields), "properties": fields}


TEXT: dict[str, Any] = {"type": "string"}
CASES: list[tuple[str, dict[str, Any], dict[str, Any], set[Side]]] = [
    ("no change", of(a=TEXT), of(a=TEXT), set()),
    ("a description changed", of(a={**TEXT, "description": "x"}), of(a={**TEXT, "description": "y"}), set()),
    ("a field removed", of(a=TEXT, b=TEXT), of(a=TEXT), BOTH),
    ("an optional field removed", {**of(a=TEXT), "required": []}, {**of(), "required": []}, BOTH),
    ("a field added", of(a=TEXT), {**of(a=TEXT, b=TEXT), "required": ["a"]}, set()),
    ("a required field added", of(a=TEXT), of(a=TEXT, b=TEXT), {READS}),
    ("a field made optional", of(a=TEXT), {**of(a=TEXT), "required": []}, {WRITES}),
    ("a field made required", {**of(a=TEXT), "required": []}, of(a=TEXT), {READS}),
    ("a type changed", TEXT, {"type": "integer"}, BOTH),
    ("a type widened", TEXT, {"type": ["string", "null"]}, {WRITES}),
    ("a type narrowed", {"type": ["string", "null"]}, TEXT, {READS}),
    ("a type removed", TEXT, {}, {WRITES}),
    ("a closed enum widened", {"enum": ["a"]}, {"enum": ["a", "b"]}, {WRITES}),
    ("a closed enum narrowed", {"enum": ["a", "b"]}, {"enum": ["a"]}, BOTH),
    ("a closed enum opened", {"enum": ["a"]}, TEXT, {READS, WRITES}),
    ("an enum added", {**TEXT}, {**TEXT, "enum": ["a"]}, {READS}),
    ("an open enum widened", {"x-extensible-enum": ["a"]}, {"x-extensible-enum": ["a", "b"]}, set()),
    ("an open enum narrowed", {"x-extensible-enum": ["a", "b"]}, {"x-extensible-enum": ["a"]}, BOTH),
    ("a pattern changed", {"pattern": "^a$"}, {"pattern": "^b$"}, BOTH),
    ("a pattern added", TEXT, {**TEXT, "pattern": "^a$"}, {READS}),
    ("a pattern removed", {**TEXT, "pattern": "^a$"}, TEXT, {WRITES}),
    ("a format changed", {"format": "uuid"}, {"format": "date"}, BOTH),
    ("a constant changed", {"const": "1.0"}, {"const": "2.0"}, BOTH),
    ("a length widened", {"maxLength": 5}, {"maxLength": 6}, {WRITES}),
    ("a length narrowed", {"maxLength": 6}, {"maxLength": 5}, {READS}),
    ("a bound narrowed", {"minimum": 0, "minLength": 1}, {"minimum": 1, "minLength": 2}, {READS}),
    ("a bound widened", {"minimum": 1, "minLength": 2}, {"minimum": 0, "minLength": 1}, {WRITES}),
    ("fields closed", of(a=TEXT), {**of(a=TEXT), "additionalProperties": False}, {READS}),
    ("fields opened", {**of(), "additionalProperties": False}, of(), {WRITES}),
    (
        "a field added to a closed object",
        {**of(), "additionalProperties": False},
        {**of(a=TEXT), "required": [], "additionalProperties": False},
        {WRITES},
    ),
    ("a nested type changed", of(a=of(b=of(c=TEXT))), of(a=of(b=of(c={"type": "integer"}))), BOTH),
    ("a keyword without a rule", {"items": TEXT}, {"items": {}}, BOTH),
]


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(("old", "new", "broken"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_compatibility_rule(old: dict[str, Any], new: dict[str, Any], broken: set[Side], side: Side) -> None:
    assert bool(list(breaks(old, new, side))) == (side in broken)


values = st.sampled_from(["", "a", "b", "aa", "ab", 0, 1, 2, None])
# Strings and numbers get separate rules: a length does not apply to a number.
rules = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "integer", "null", ["string", "null"], ["integer", "null"]]),
        "enum": st.lists(st.sampled_from(["", "a", "b", "ab", 1]), min_size=1, unique=True),
        "const": st.sampled_from(["a", "b"]),
        "pattern": st.sampled_from(["^a", "b$"]),
        "minLength": st.integers(0, 2),
        "maxLength": st.integers(0, 2),
        "minimum": st.integers(0, 2),
        "maximum": st.integers(0, 2),
    },
)
names = st.sampled_from(["a", "b", "c"])
objects = st.builds(
    lambda fields, required, closed: {
        "type": "object",
        "properties": fields,
        "required": sorted(required),
        **({"additionalProperties": False} if closed else {}),
    },
    st.dictionaries(names, rules, max_size=2),
    st.sets(names, max_size=2),
    st.booleans(),
)


def fits(schema: dict[str, Any], instance: object) -> bool:
    return Draft202012Validator(schema).is_valid(instance)


@st.composite
def changes(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draw a schema and a variant that differs little, so that some pairs are compatible."""
    old = draw(objects)
    new = json.loads(json.dumps(old))
    other = draw(objects)
    for part in draw(st.sets(st.sampled_from(["required", "additionalProperties"]))):
        new.pop(part, None)
        if part in other:
            new[part] = other[part]
    for name in draw(st.sets(names, max_size=2)):
        new["properties"].setdefault(name, {}).update(draw(rules))
        if draw(st.booleans()) and new["properties"][name]:
            new["properties"][name].pop(draw(st.sampled_from(sorted(new["properties"][name]))))
    return old, new


@given(changes(), st.lists(st.dictionaries(names, values), min_size=5, max_size=20))
def test_a_compatible_change_keeps_every_value_valid_for_the_other_side(
    change: tuple[dict[str, Any], dict[str, Any]], instances: list[dict[str, Any]]
) -> None:
    """Fields that are new to an open object are exempt: a reader that does not know them ignores them."""
    old, new = change
    known = old["properties"]
    for instance in instances:
        seen = {name: value for name, value in instance.items() if name in known or name in old["required"]}
        if not list(breaks(old, new, WRITES)) and fits(new, instance):
            assert fits(old, instance)
        if not list(breaks(old, new, READS)) and fits(old, seen):
            assert fits(new, seen)


def test_removing_a_schema_is_breaking_and_adding_one_is_not() -> None:
    assert broken_by({"a": TEXT}, {}, {"a": WRITES}) == ["a: is gone"]
    assert broken_by({}, {"a": TEXT}, {}) == []
    assert broken_by({"a": of(b=TEXT)}, {"a": of()}, {"a": READS}) == ["a $.b: was removed"]


def test_the_last_release_stays_compatible() -> None:
    """A breaking change gets a new topic or operation (CONTRIBUTING.md). Without a release nothing can break."""
    assert [fault for release in releases()[-1:] for fault in broken_since(release)] == []


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Return a release that has the current contracts."""
    keep(tmp_path / "1.0.0")
    return tmp_path / "1.0.0"


def test_every_schema_of_a_release_can_be_compared(release: Path) -> None:
    """Each schema equals itself and differs from the empty schema."""
    assert broken_since(release) == []
    for name, schema in read(release).items():
        Draft202012Validator.check_schema(schema)
        assert list(breaks(schema, schema, READS)) == [] == list(breaks(schema, schema, WRITES)), name
        assert list(breaks(schema, {}, WRITES)) != []


@pytest.mark.parametrize("field", ["amount", "final"])
def test_a_field_removed_from_a_topic_is_detected(field: str, release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = all_schemas()
    del changed["payments.failed.value"]["properties"][field]
    monkeypatch.setattr(release_contracts, "all_schemas", lambda: changed)
    assert broken_since(release) == [f"payments.failed.value $.{field}: was removed"]


def test_a_field_made_required_for_senders_is_detected(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = all_schemas()
    changed["orders.created.value"]["required"].append("user_id")
    monkeypatch.setattr(release_contracts, "all_schemas", lambda: changed)
    assert broken_since(release) == ["orders.created.value $.user_id: is now required"]


def test_schemas_of_a_release_can_be_stored_again_until_it_is_tagged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n')
    git = ("git", "-C", str(tmp_path), "-c", "user.name=suite", "-c", "user.email=suite@example.com")
    for command in (("init", "--quiet"), ("commit", "--quiet", "--allow-empty", "--message", "Release 1.2.0")):
        subprocess.run([*git, *command], check=True)
    for name, content in (("ROOT", tmp_path), ("RELEASED", tmp_path / "released")):
        monkeypatch.setattr(release_contracts, name, content)
    assert release_contracts.main() == 0
    assert release_contracts.main() == 0, "as often as needed"
    assert read(tmp_path / "released" / "1.2.0") == made_now()
    subprocess.run([*git, "tag", "v1.2.0"], check=True)
    assert release_contracts.main() == 1
    assert "is released and never changes" in capsys.readouterr().out


def test_releases_are_sorted_by_version(tmp_path: Path) -> None:
    for name in ("0.10.0", "0.9.0", "1.0.0"):
        (tmp_path / name).mkdir()
    (tmp_path / "README.md").touch()
    assert [path.name for path in releases(tmp_path)] == ["0.9.0", "0.10.0", "1.0.0"]
