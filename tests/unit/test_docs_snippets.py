"""What the documentation shows can be run: commands, scenarios, Python, JSON and SQL of every page.

A block that cannot be checked stands behind a line ``<!-- example: why -->``. A block without a language
holds commands and what they print: lines that begin with a command are checked.
"""

import ast
import functools
import importlib
import inspect
import json
import re
import shlex
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlglot
import yaml

from airflow_provider_drivepipe import exceptions, operators
from airflow_provider_drivepipe.operators import retry
from airflow_provider_drivepipe.pipelines.loading import load_scenario
from airflow_provider_drivepipe.pipelines.registry import FAMILIES

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs" / "site"))

import operator_pages  # noqa: E402
import reference_pages  # noqa: E402
import signatures  # noqa: E402

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "maxcompute_local").glob("*.md")),
    *sorted((ROOT / "maxcompute_local" / "docs").glob("*.md")),
]
FENCE = re.compile(
    r"^(?P<mark><!-- example: .+ -->\n\n?)?"
    r"(?P<indent> *)```(?P<language>[\w-]*)\n(?P<text>.*?)^(?P=indent)```",
    re.MULTILINE | re.DOTALL,
)
COMMAND = re.compile(r"(?:\$ )?(drivepipe|airflow|maxcompute-local) (.+)")
INLINE = re.compile(r"(?<!`)`((?:drivepipe|airflow) [^`\n]+)`")
COMMANDS = ("", "bash", "sh", "console")
LANGUAGES = {*COMMANDS, "python", "yaml", "json", "sql", "text"}


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for fence in FENCE.finditer(text):
            if fence["language"] in languages and not fence["mark"]:
                indent = fence["indent"]
                code = "\n".join(line.removeprefix(indent) for line in fence["text"].splitlines())
                found.append(Block(page, text.count("\n", 0, fence.start()) + 1, fence["language"], code))
    return found


def each_block(*languages: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", blocks(*languages), ids=str)


def test_every_block_has_a_language_that_is_checked():
    found = {fence["language"] for page in PAGES for fence in FENCE.finditer(page.read_text("utf-8"))}
    assert found <= LANGUAGES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_stands_in_angle_brackets_is_code(page):
    """Elsewhere it would be taken for HTML, and nobody would see it."""
    prose = re.sub(r"(`+)(?:(?!\n\n).)*?\1", "", FENCE.sub("", page.read_text("utf-8")), flags=re.DOTALL)
    assert re.findall(r"<\w[^>]*>", prose) == []


# Commands.


def commands(page: Path) -> Iterator[str]:
    text = page.read_text("utf-8")
    for fence in FENCE.finditer(text):
        if fence["language"] in COMMANDS and not fence["mark"]:
            for line in fence["text"].replace("\\\n", " ").splitlines():
                if found := COMMAND.fullmatch(line.strip()):
                    # What a command does stands some blanks behind it.
                    yield f"{found[1]} {re.split(r' {3,}', found[2])[0]}"
    if page.name != "troubleshooting.md":
        yield from INLINE.findall(FENCE.sub("", text))


@functools.cache
def parser_of(program: str, command: str) -> ArgumentParser:
    if program == "drivepipe":
        return reference_pages.parser_of(command)
    if program == "maxcompute-local":
        from maxcompute_local.cli import _parser

        return _parser("maxcompute-local", Path("root"))
    from airflow.cli.cli_parser import get_parser

    return get_parser()


def refuse(parser: ArgumentParser, message: str) -> None:
    raise AssertionError(f"{parser.prog}: {message}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_have_the_arguments_that_are_shown(page, monkeypatch):
    monkeypatch.setattr(ArgumentParser, "error", refuse)
    for command in commands(page):
        shown = re.sub(r"\[(-[^\]]*)\]", r"\1", command)
        program, *words = shlex.split(shown, comments=True)
        arguments = words if program != "drivepipe" else words[1:]
        try:
            parser_of(program, words[0]).parse_args(arguments)
        except (AssertionError, SystemExit) as error:
            # A text may name a command without what it needs.
            named_alone = len(words) <= 2 and not any(word.startswith("-") for word in words)
            if not named_alone:
                pytest.fail(f"{command}: {error}")


# Python.


@each_block("python")
def test_python_can_be_compiled_and_names_what_there_is(block):
    tree = ast.parse(block.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("airflow_provider_drivepipe"):
            module = importlib.import_module(node.module)
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            operator = operator_pages.OPERATORS.get(node.func.id)
            if operator is not None:
                known = {p.name for group in signatures.operator_groups(operator) for p in group.parameters}
                known |= set(inspect.signature(operators.base.BaseOperator.__init__).parameters)
                given = {keyword.arg for keyword in node.keywords} - {None}
                assert given <= known | {"mode", "poke_interval", "timeout", "soft_fail"}


def test_the_alert_of_the_operations_page_is_on_every_task(monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    [code] = [block.text for block in blocks("python") if block.page.name == "operations.md"]
    names = {"__file__": str(ROOT / "dags" / "drivepipe_scenarios.py")}
    exec(code, names)
    tasks = [task for dag in names["dags"].values() for task in dag.tasks]
    assert len(tasks) > 20
    assert all(task.has_on_failure_callback for task in tasks)


# Scenarios.

BASE = {
    "scenario_name": "shown",
    "input_shape": "oss_prefix",
    "targets": ["manifest", "frame-extraction", "labeling"],
    "oss_bucket": "my-bucket",
    "oss_prefix": "trips/",
    "video_input_table": "shown_manifest",
    "output_table": "shown_labels",
    "vlm_model": "qwen3-vl-plus",
}


@each_block("yaml")
def test_scenarios_are_valid(block, tmp_path):
    shown = yaml.safe_load(block.text)
    whole = shown if "scenario_name" in shown else BASE | shown
    file = tmp_path / f"{whole['scenario_name']}.yaml"
    file.write_text(yaml.safe_dump(whole, allow_unicode=True))
    if "FILL IN" in block.text:
        with pytest.raises(ValueError, match="still to fill in"):
            load_scenario(file)
    else:
        load_scenario(file)


# Data.


@each_block("json")
def test_json_can_be_read(block):
    try:
        json.loads(block.text)
    except ValueError:
        json.loads(f"{{{block.text}}}")


@each_block("sql")
def test_sql_can_be_read(block):
    statements = [each for each in sqlglot.parse(block.text, read="hive") if each is not None]
    assert statements
    assert not any(isinstance(each, sqlglot.exp.Command) for each in statements)


# What pages quote of the code.


def quoted_messages() -> list[str]:
    page = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    return re.findall(r"^\| `(.+?)` \|", page, re.MULTILINE)


@functools.cache
def texts_of_the_code() -> list[str]:
    """Return the texts in our code; what differs in one is an ellipsis."""
    found = []
    for file in (ROOT / "airflow_provider_drivepipe").rglob("*.py"):
        inner = set()
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [each.value if isinstance(each, ast.Constant) else "…" for each in node.values]
                inner |= {id(each) for each in node.values}
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
                found.append(re.sub(r"%(?:[sd]|\.\d+f)", "…", node.value))
    return found


@pytest.mark.parametrize("message", quoted_messages())
def test_messages_are_those_of_the_code(message):
    parts = [re.escape(part) for part in message.split("…")]
    pattern = re.compile(".*".join(parts), re.DOTALL)
    assert any(pattern.fullmatch(text) or pattern.match(text) for text in texts_of_the_code())


def test_every_parameter_of_an_operator_says_what_it_means():
    assert operator_pages.undocumented() == []


def test_every_operator_has_a_page_with_an_example():
    pages = operator_pages.pages()
    assert set(operators.__all__) <= {Path(place).stem for place in pages}
    for name in operator_pages.OPERATORS:
        assert re.search(rf"{name}\(|\.yaml`\]", pages[operator_pages.address(name)]), name


def test_reference_pages_are_complete():
    pages = reference_pages.pages()
    for command in reference_pages.COMMANDS:
        assert f"\n## drivepipe {command}\n" in pages["reference/cli.md"]
    kinds = [name for name, kind in vars(exceptions).items() if inspect.isclass(kind)]
    failures = (ROOT / "docs" / "failures.md").read_text("utf-8")
    assert all(f"| `{name}` |" in pages["reference/errors.md"] for name in kinds)
    assert all(f"| `{name}` |" in failures for name in kinds if name != "DrivepipeError")
    assert all(f"none: {why}" in pages["reference/errors.md"] for why in retry._USELESS.values())


CALLS = {
    "list_buckets": "oss:ListBuckets",
    "list_objects_v2": "oss:ListObjects",
    "list_objects_v2_paginator": "oss:ListObjects",
    "invoke_operation": "oss:ListObjects",  # hooks/listing.py, which lists
    "get_object": "oss:GetObject",
    "get_object_meta": "oss:GetObject",
    "is_object_exist": "oss:GetObject",
    "put_object": "oss:PutObject",
    "put_object_from_file": "oss:PutObject",
    "delete_object": "oss:DeleteObject",
    "delete_multiple_objects": "oss:DeleteObject",
}
"""The action that each call of the OSS client needs."""


def test_the_policy_allows_what_the_code_calls_and_nothing_else():
    from alibabacloud_oss_v2 import Client

    public = {name for name in dir(Client) if not name.startswith("_")}
    called = set()
    for file in (ROOT / "airflow_provider_drivepipe").rglob("*.py"):
        if not file.name.startswith("demo"):
            called |= set(re.findall(r"\.(\w+)\(", file.read_text("utf-8"))) & public
    page = ROOT / "docs" / "alibaba-cloud.md"
    user, trust, role = (json.loads(block.text) for block in blocks("json") if block.page == page)
    allowed = {action for statement in user["Statement"] for action in statement["Action"]}
    explained = set(re.findall(r"^\| `(oss:\w+)` \|", page.read_text("utf-8"), re.MULTILINE))
    assert {CALLS[call] for call in called} == explained == allowed | {"oss:ListBuckets"}
    assert allowed < {action for statement in role["Statement"] for action in statement["Action"]}
    assert trust["Statement"][0]["Principal"] == {"Service": ["odps.aliyuncs.com"]}


# Chinese pages.


def test_the_chinese_reference_has_the_same_keys_and_defaults():
    def rows(page: Path) -> list[tuple[str, str]]:
        found = re.findall(r"^\| `([a-z_]+)` \| (.*?) \|", page.read_text("utf-8"), re.MULTILINE)
        return [(key, "".join(re.findall(r"`[^`]*`", default))) for key, default in found]

    english = rows(ROOT / "docs" / "scenario-reference.md")
    assert rows(ROOT / "docs" / "zh" / "scenario-reference.md") == english
    assert len(english) > 100
    assert {name for family in FAMILIES for name in FAMILIES[family].scenario.model_fields} <= {
        k for k, _ in english
    }
