"""The corpus of MaxCompute SQL in ``sql_corpus``: each case gives what is written below it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from maxcompute_local.odps.catalog import Catalog
from maxcompute_local.odps.database import Database
from maxcompute_local.odps.errors import OdpsError
from maxcompute_local.odps.sql.engine import Cancellation, Engine
from maxcompute_local.odps.sql.functions import FUNCTIONS
from maxcompute_local.odps.sql.functions.registry import Role
from maxcompute_local.odps.storage import Storage
from maxcompute_local.stats import Stats

MARKS = ("-- page:", "-- recalled:", "-- unverified:", "-- refused:")
CORPUS = Path(__file__).parent / "sql_corpus"
ZONE = ZoneInfo("Asia/Shanghai")
SETTINGS = {"odps.sql.timezone": ZONE.key}


@dataclass(frozen=True)
class Case:
    """A script, where its rule comes from, and what it gives."""

    place: str
    source: str
    script: str
    expected: tuple[str, ...]

    @property
    def fails(self) -> bool:
        return any(line.startswith("--!") for line in self.expected)


def read_cases(path: Path) -> Iterator[Case]:
    source = "-- nothing is said of its source"
    first = 1
    for block in path.read_text().split("\n\n"):
        lines = block.split("\n")
        script, expected = [], []
        for line in lines:
            if line.startswith(MARKS):
                source = line
            elif line.startswith(("-->", "--:", "--!")):
                expected.append(line)
            elif line:
                script.append(line)
        if script:
            yield Case(f"{path.stem}:{first}", source, "\n".join(script), tuple(expected))
        first += len(lines) + 1


CASES = [case for path in sorted(CORPUS.glob("[a-z]*.sql")) for case in read_cases(path)]


class Corpus:
    """One engine that all cases share."""

    def __init__(self, root: Path) -> None:
        catalog = Catalog(Database(root / "catalog.sqlite"), ["p"])
        self._engine = Engine(catalog, Storage(root / "data"), root / "scratch", Stats())
        self._results = root / "result.parquet"
        assert self.run((CORPUS / "_setup.sql").read_text()) == ["--> nothing"]

    def run(self, script: str) -> list[str]:
        """Return what a script gives, written as in the corpus: types first."""
        try:
            result = self._engine.execute(script, "p", SETTINGS, self._results, Cancellation())
        except OdpsError as error:
            return [f"--! {error.odps_code} {error.message}"]
        if result.rows is None:
            return [f"--> {line}" for line in result.text.split("\n") if line] or ["--> nothing"]
        lines = ["--: " + ", ".join(column.type for column in result.rows.columns)]
        for batch in result.rows.read():
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                lines.append("--> " + " | ".join(map(written, row)))
        return lines if len(lines) > 1 else [*lines, "--> nothing"]


def written(value: Any) -> str:
    """Return a value as the corpus writes it."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return f"{value}BD"
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    if isinstance(value, datetime):
        local = value.astimezone(ZONE) if value.tzinfo else value
        fraction = f".{local.microsecond:06d}".rstrip("0") if local.microsecond else ""
        return f"{local:%Y-%m-%d %H:%M:%S}{fraction}"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        pairs = value and isinstance(value[0], tuple)
        items = (f"{written(i[0])}: {written(i[1])}" if pairs else written(i) for i in value)
        return ("{%s}" if pairs else "[%s]") % ", ".join(items)
    if isinstance(value, dict):
        return "(" + ", ".join(f"{name}: {written(item)}" for name, item in value.items()) + ")"
    return repr(value)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus(tmp_path_factory.mktemp("corpus"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.place)
def test_case(corpus: Corpus, case: Case) -> None:
    found = corpus.run(case.script)
    if case.fails:
        (expected,) = case.expected
        code, _, text = expected.removeprefix("--! ").partition(" ")
        assert found[0].startswith(f"--! {code} "), found
        assert text in found[0]
        return
    with_types = any(line.startswith("--:") for line in case.expected)
    rows = [line for line in found if with_types or not line.startswith("--:")]
    assert tuple(rows) == case.expected, case.source


def test_an_insert_that_fails_leaves_the_table_as_it_was(corpus: Corpus) -> None:
    corpus.run("INSERT OVERWRITE TABLE numbers SELECT 12, 3.5D;")
    assert corpus.run("INSERT INTO numbers SELECT 'x', 1;")[0].startswith("--! ODPS-0123091")
    assert corpus.run("SELECT * FROM numbers;")[1:] == ["--> 12 | 3.5"]


def test_every_function_has_a_case_that_succeeds() -> None:
    called = " ".join(case.script.upper() for case in CASES if not case.fails)
    assert sorted(name for name in FUNCTIONS if not re.search(rf"\b{name}\s*\(", called)) == []


def test_every_case_says_where_its_rule_comes_from() -> None:
    assert [
        case.place
        for case in CASES
        if not re.match(r"-- (page|recalled|unverified|refused): \S", case.source)
    ] == []


def test_the_page_lists_every_function() -> None:
    page = (Path(__file__).parents[2] / "docs/local-sql.md").read_text()
    listed = page.partition("<!-- functions: begin -->")[2].partition("<!-- functions: end -->")[0]
    assert listed.strip().split("\n")[2:] == list(function_rows())


def function_rows() -> Iterator[str]:
    """Yield the rows of the page's table."""
    kinds = {Role.SCALAR: "scalar", Role.AGGREGATE: "aggregates", Role.WINDOW: "windows", Role.TABLE: "rows"}
    for role, kind in kinds.items():
        names = sorted(name for name, function in FUNCTIONS.items() if function.role is role)
        names += ["MAX_PT"] if role is Role.SCALAR else []
        yield f"| {kind} | {' '.join(f'`{name}`' for name in names)} |"
