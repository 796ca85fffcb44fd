"""The documentation names what exists, all of it."""

import re
from pathlib import Path

import pytest

from airflow_provider_drivepipe.cli.main import COMMANDS
from airflow_provider_drivepipe.contracts import Reason
from airflow_provider_drivepipe.pipelines.reasoning.scenario import Reasoning
from airflow_provider_drivepipe.pipelines.registry import FAMILIES
from airflow_provider_drivepipe.pipelines.retrieval.scenario import Retrieval
from airflow_provider_drivepipe.stages.answer_schemas import load_answer_schema

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def first_cells(page):
    return set(re.findall(r"^\| `([a-z_]+)` \|", (ROOT / "docs" / page).read_text(), re.MULTILINE))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_scenario_field_is_documented(family):
    below = {"reasoning": [Reasoning], "retrieval": [Retrieval]}
    kinds = [FAMILIES[family].scenario, *below.get(family, [])]
    fields = {name for kind in kinds for name in kind.model_fields}
    assert fields <= first_cells("scenario-reference.md")


def test_every_reason_is_documented():
    assert {str(r) for r in Reason} == first_cells("failures.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_and_targets_exist(page):
    text = page.read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= targets
    assert set(re.findall(r"(?:^|`)drivepipe ([a-z-]+)", text, re.MULTILINE)) <= set(COMMANDS)


def test_words_and_values_of_the_built_in_label_schema_are_documented():
    page = (ROOT / "docs" / "labels.md").read_text()
    rows = re.findall(r"^\| `([\w.]+)` \| `(\w+)` \| (.*) \|$", page, re.MULTILINE)
    documented = {(field, word, value) for field, value, words in rows for word in words.split(", ")}
    known = set()
    for name, content in load_answer_schema("driving-scene/v1")["properties"].items():
        items = content.get("items", {})
        inner = {f"{name}.{key}": one for key, one in items.get("properties", {}).items()}
        assert f"| `{name}` | {', '.join(content.get('enum', []))}" in page
        for field, one in {name: items if "enum" in items else content, **inner}.items():
            known |= {(field, word, value) for word, value in one.get("x-synonyms", {}).items()}
    assert documented <= known
    assert all(value == "unknown" and f"`{word}`" in page for _, word, value in known - documented)
