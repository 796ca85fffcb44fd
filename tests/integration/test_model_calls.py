"""Parts that models make, on their own: what is asked, in what order, and what the rows become."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_drivepipe.cli.local import connection_json
from airflow_provider_drivepipe.contracts import STATUS_COLUMNS, Reason
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.hooks.connection import AccessKey
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.stages.content import Image, TextColumn
from airflow_provider_drivepipe.stages.embed import Embed
from airflow_provider_drivepipe.stages.generate import Generate
from airflow_provider_drivepipe.stages.graph import graph_building
from airflow_provider_drivepipe.stages.stage import Build, RowStage
from airflow_provider_drivepipe.stages.worker_call import apply_chunk
from airflow_provider_drivepipe.worker.rows import pandas_dtype, start_rows
from maxcompute_local.models.backend import ChatRequest
from maxcompute_local.models.script_rules import ModelRules
from maxcompute_local.models.scripted import Request, Step
from maxcompute_local.server import LocalCloud

READER = {"name": "reader", "task": "text-generation", "backend": "script", "script": [{"content": "-"}]}
SCHEMA = json.dumps({"type": "object", "required": ["topic"], "properties": {"topic": {"type": "string"}}})
SUMMARY = Generate(
    "summary",
    "reader",
    "Say {it} of {note}, {n} times",
    columns=("note", "n"),
    schema=SCHEMA,
    flat_columns=True,
)
VECTOR = Embed("vector", "text-embedding-v4", TextColumn("summary_text"), dimension=8, needs=("summary",))
KEPT = Embed("note_vector", "qwen3-vl-embedding", TextColumn("note"), dimension=8, lacking=Reason.NO_LABEL)


class Site:
    """A connection that has no OSS: nothing here needs its key pair."""

    def model_project(self) -> str:
        return "bigdata_public_modelset"

    def oss_key(self) -> AccessKey:
        raise ConfigurationError("no OSS")

    def oss_root(self, bucket: str, root: str | None = None) -> object:
        raise ConfigurationError("no OSS")

    def role_arn(self) -> str:
        raise ConfigurationError("no OSS")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A local cloud that has a model which only reads."""
    root = tmp_path_factory.mktemp("cloud")
    (root / "models.json").write_text(json.dumps({"models": [READER]}))
    cloud = LocalCloud(root, odps_port=0, oss_port=0).start()
    yield cloud
    cloud.stop()


@pytest.fixture
def hook(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> MaxFrameHook:
    monkeypatch.setenv("AIRFLOW_CONN_DRIVEPIPE_DEFAULT", connection_json(cloud.settings))
    return MaxFrameHook()


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], str]], list[str]]:
    """Makes the reader answer by a function of what it is told; returns what it is told."""

    def answer_with(answer: Callable[[str], str]) -> list[str]:
        told: list[str] = []
        step = ModelRules.step

        def listen(rules: ModelRules, request: Request) -> Any:
            if not isinstance(request, ChatRequest):
                return step(rules, request)
            told.append(request.text)
            return Step(content=answer(request.text))

        monkeypatch.setattr(ModelRules, "step", listen)
        return told

    return answer_with


def run(hook: MaxFrameHook, table: str, stages: tuple[RowStage, ...]) -> list[dict[str, Any]]:
    """Run stages over table ``<table>_i``, each on the rows that need it; return the rows they become."""
    import maxframe.dataframe as md

    parts = [stage.part() for stage in stages]
    behind = {p.stage: tuple(q.flag for q in parts if p.stage in q.needs) for p in parts}
    build = Build(Site(), "ds=1", {}, ("k", "note", "n", "status"), behind)
    made = [*STATUS_COLUMNS, *(column for part in parts for column in part.columns)]
    columns = {"k": None, "note": None, "n": "Int64", **{c.name: pandas_dtype(c.type) for c in made}}
    flags = [part.flag for part in parts]

    def start(chunk: Any) -> Any:
        return start_rows(chunk, columns, flags)

    dtypes = {name: dtype or "object" for name, dtype in columns.items()} | dict.fromkeys(flags, "int64")
    with hook.session_options(), graph_building(hook.odps):
        rows = apply_chunk(md.read_odps_table(f"{table}_i", odps_entry=hook.odps), start, dtypes)
        for stage, flag in zip(stages, flags, strict=True):
            needing, others = rows[rows[flag] == 1], rows[rows[flag] != 1]
            built = stage.build(needing, build)
            assert built.dtypes.equals(rows.dtypes)
            rows = md.concat([built, others])
        types = {"k": "string", "note": "string", "n": "bigint"} | {c.name: c.type for c in made}
        names = ", ".join(f"{name} {type_}" for name, type_ in types.items())
        hook.execute_sql(f"CREATE TABLE {table}_o ({names})")
        sink = md.to_odps_table(rows[list(types)], f"{table}_o", overwrite=True, index=False)
    hook.run_job(hook.open_session(), [sink])
    found = hook.execute_sql(f"SELECT {', '.join(types)} FROM {table}_o ORDER BY k LIMIT 100")
    return [dict(zip(types, row, strict=True)) for row in found]


def test_parts_that_follow_one_another(
    hook: MaxFrameHook, table: str, answering: Callable[[Callable[[str], str]], list[str]]
) -> None:
    hook.execute_sql(f"CREATE TABLE {table}_i (k STRING, note STRING, n BIGINT, status STRING)")
    hook.execute_sql(
        f"INSERT INTO {table}_i VALUES ('good', 'rain {{n}}', 2, 'ok'), ('twice', 'fog', NULL, 'ok'), "
        "('never', 'night', 1, 'ok'), ('null', NULL, 3, 'ok'), ('before', 'sun', 4, 'failed')"
    )

    def answer(told: str) -> str:
        if "night" in told or ("fog" in told and "previous answer" not in told):
            return "It is dark."
        return '{"topic": "weather"}'

    told = answering(answer)
    rows = {row["k"]: row for row in run(hook, table, (SUMMARY, VECTOR, KEPT))}

    stated = "Answer with one JSON object and nothing else. Its keys and their allowed values:\n- topic: text"
    first = [text for text in told if "previous answer" not in text]
    assert sorted(first) == [
        f"Say {{it}} of {said} times\n\n{stated}" for said in (", 3", "fog, ", "night, 1", "rain {n}, 2")
    ]
    again = sorted(text for text in told if "previous answer" in text)
    assert [text.split("\n\n")[0] for text in again] == [
        f"Say {{it}} of {w} times" for w in ("fog, ", "night, 1")
    ]
    assert "It is dark." in again[0]
    assert "Answer again with one complete" in again[0]

    def said(name: str) -> dict[str, Any]:
        return {key: row[name] for key, row in rows.items()}

    label = '{"topic":"weather"}'
    assert said("summary_text") == {
        "good": label, "twice": label, "null": label, "never": "It is dark.", "before": None
    }  # fmt: skip
    assert said("summary_topic") == {
        "good": "weather", "twice": "weather", "null": "weather", "never": None, "before": None
    }  # fmt: skip
    assert said("n") == {"good": 2, "twice": None, "never": 1, "null": 3, "before": 4}
    assert [k for k, vector in said("vector").items() if vector] == ["good", "null", "twice"]
    assert [k for k, vector in said("note_vector").items() if vector] == ["good", "never", "twice"]
    assert {len(json.loads(rows["good"][name])) for name in ("vector", "note_vector")} == {8}
    assert {key: (row["status"], row["error_stage"], row["error_type"]) for key, row in rows.items()} == {
        "good": ("ok", None, None),
        "twice": ("ok", None, None),
        "never": ("failed", "summary", "invalid_json"),
        "null": ("failed", "note_vector", "no_label"),
        "before": ("failed", None, None),
    }
    assert rows["never"]["vector_total_token"] is None
    assert rows["twice"]["summary_input_token"] > rows["good"]["summary_input_token"] > 0


def test_a_model_that_cannot_do_what_it_is_asked_for(hook: MaxFrameHook) -> None:
    import maxframe.dataframe as md
    import pandas as pd

    site_with_key = Site()
    site_with_key.oss_key = lambda: AccessKey("i", "s")  # type: ignore[method-assign]
    build = Build(site_with_key, "ds=1", {}, ("note",))
    with graph_building(hook.odps):
        rows = md.DataFrame(pd.DataFrame({"note": ["a"], "n": ["b"], "summary_text": ["c"]}))
        for stage, said in (
            (replace(SUMMARY, media=(Image("note"),)), "reader .* cannot answer about images or videos"),
            (replace(SUMMARY, model="text-embedding-v4"), "text-embedding-v4 .* cannot answer"),
            (replace(VECTOR, of=Image("note")), "text-embedding-v4 .* cannot embed images"),
            (replace(VECTOR, model="reader"), "reader .* cannot embed texts"),
        ):
            with pytest.raises(ConfigurationError, match=said):
                stage.build(rows, build)
