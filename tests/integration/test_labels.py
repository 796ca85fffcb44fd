"""Labels of pictures whose model answers from a script: every answer in its class, every call counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import alibabacloud_oss_v2 as oss
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.operators import AiFuncLabelOperator
from airflow_provider_drivepipe.pipelines.driving import models
from airflow_provider_drivepipe.stages.answer_schemas import answer_fields
from airflow_provider_drivepipe.stages.content import Image
from airflow_provider_drivepipe.stages.generate import Generate
from airflow_provider_drivepipe.stages.model_calls import escape_braces
from maxcompute_local.maxframe.engine.templates import render
from maxcompute_local.models.backend import ChatRequest, ImagePart, TextPart
from maxcompute_local.models.script_rules import ModelRules
from maxcompute_local.models.scripted import Request
from maxcompute_local.server import LocalCloud
from tests.integration.operator_context import Run
from tests.unit.image_samples import encoded, scene

VLM = "qwen3-vl-plus"
PROMPT = "What is on the road?"
LABEL: dict[str, Any] = {
    "weather": "clear",
    "time_of_day": "daytime",
    "scene_type": "highway",
    "road_surface": "dry",
    "visibility": "good",
    "traffic_density": "light",
    "ego_action": "straight",
    "key_objects": [{"class": "car", "count": 2, "position": "ego_lane"}],
    "traffic_light": "none",
    "risk_level": "low",
    "risk_reasons": [],
    "hazards": [],
    "caption": 'a road with {braces}, "quotes" and {{ ds }}',
    "abstain": False,
}
GOOD = json.dumps(LABEL)
CHINESE = LABEL | {"weather": "雨天", "time_of_day": "夜间", "scene_type": "高速公路", "hazards": "无"}
FULL_WIDTH = GOOD.replace('", ', '"，').replace('": ', '"：').replace('"weather"', "“weather”")


def completion(content: str, finish_reason: str) -> str:
    message = {"role": "assistant", "content": content}
    return json.dumps({"choices": [{"index": 0, "finish_reason": finish_reason, "message": message}]})


@dataclass(frozen=True)
class Case:
    """What the model does for one picture, what the row becomes of it, and how many calls that takes.

    ``steps`` are played one after the other, the last one for ever.
    """

    steps: tuple[dict[str, Any], ...]
    becomes: str
    calls: int
    normalised: int | None = 0


def ok(*steps: Any, calls: int, normalised: int = 0) -> Case:
    return Case(tuple(map(_step, steps)), "ok", calls, normalised)


def failed(reason: str, *steps: Any, calls: int, normalised: int | None = None) -> Case:
    return Case(tuple(map(_step, steps)), reason, calls, normalised)


def _step(step: Any) -> dict[str, Any]:
    return {"content": step} if isinstance(step, str) else step


def without(key: str) -> str:
    return json.dumps({k: v for k, v in LABEL.items() if k != key})


def having(**changes: Any) -> str:
    return json.dumps(LABEL | changes, ensure_ascii=False)


PURPLE = having(weather="purple")
CUT = GOOD[:100]
DECLINE = "I'm sorry, but I can't help with that."
OVERLOAD = {"status": 429}
OVERLOAD_FOR_LONG = {"status": 429, "retry_after": 3600}

CASES = {
    "plain": ok(GOOD, calls=1),
    "fenced": ok(f"```json\n{GOOD}\n```", calls=1),
    "prose": ok(f"Here is the label you asked for:\n{GOOD}\nLet me know!", calls=1),
    "trailing": ok(GOOD[:-1] + ",}", calls=1),
    "fullwidth": ok(FULL_WIDTH, calls=1),
    "chinese": ok(json.dumps(CHINESE, ensure_ascii=False), calls=1, normalised=4),
    "spaced": ok(having(weather="partly cloudy", time_of_day="Dawn/Dusk"), calls=1, normalised=2),
    "abstains": ok('{"abstain": true, "abstain_reason": "please provide the image"}', calls=1),
    "wrong-enum": ok(PURPLE, GOOD, calls=2),
    "cut-once": ok(CUT, GOOD, calls=2),
    "prose-once": ok("It is a sunny day on the highway.", f"```\n{GOOD}```", calls=2),
    "wrong-enum-ever": failed("schema_violation", PURPLE, calls=2, normalised=0),
    "missing-ever": failed("schema_violation", without("weather"), calls=2, normalised=0),
    "huge-label": failed("schema_violation", having(caption="x" * 1_000_000), calls=2),
    "cut-ever": failed("invalid_json", CUT, calls=2),
    "huge-prose": failed("invalid_json", "the road {goes on} " * 53_000, calls=2),
    "not-a-number": failed("invalid_json", GOOD.replace('"count": 2', '"count": NaN'), calls=2),
    "token-limit": failed("invalid_json", {"body": completion(CUT, "length")}, calls=2),
    "repair-overloaded": failed("invalid_json", CUT, OVERLOAD_FOR_LONG, calls=2),
    "repair-declined": failed("schema_violation", PURPLE, DECLINE, calls=2, normalised=0),
    "declined": failed("refusal", DECLINE, calls=1),
    "declined-zh": failed("refusal", "抱歉，我无法识别这张图片。", calls=1),
    "no-picture": failed("refusal", "Please provide the image you would like me to label.", calls=1),
    "no-picture-label": failed("refusal", having(caption="No image was provided."), calls=1, normalised=0),
    "empty": failed("empty_response", "", calls=1),
    "blank": failed("empty_response", " \n", calls=1),
    "overload-once": ok(OVERLOAD, GOOD, calls=2),
    "overload-ever": failed("rate_limited", OVERLOAD_FOR_LONG, calls=1),
    "broken": failed("model_error", {"status": 500}, calls=4),
    "page": failed("model_error", {"body": "<html>It works</html>"}, calls=1),
    "slow": failed("timeout", {"status": 408, "code": "RequestTimeOut"}, calls=1),
    "filtered": failed("content_blocked", {"status": 400, "code": "DataInspectionFailed"}, calls=1),
    "filtered-late": failed("content_blocked", {"body": completion(CUT, "content_filter")}, calls=1),
}


@pytest.fixture
def hook(airflow_connection: str) -> DrivepipeHook:
    return DrivepipeHook()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The texts that a model got, by the name of the picture."""
    texts: dict[str, list[str]] = {}
    step = ModelRules.step

    def listen(rules: ModelRules, request: Request) -> Any:
        if isinstance(request, ChatRequest):
            name = next(part.source for part in request.parts if isinstance(part, ImagePart))
            words = [part.text for part in request.parts if isinstance(part, TextPart)]
            texts.setdefault(name.rpartition("/")[2].removesuffix(".jpg"), []).append("|".join(words))
        return step(rules, request)

    monkeypatch.setattr(ModelRules, "step", listen)
    return texts


class Pictures:
    """A table with a picture for each name, and the operator that labels them."""

    def __init__(self, hook: DrivepipeHook, cloud: LocalCloud, client: oss.Client, bucket: str, table: str):
        self.hook, self.cloud, self.client, self.bucket, self.table = hook, cloud, client, bucket, table

    def add(self, *names: str) -> None:
        host = self.cloud.oss_endpoint.removeprefix("http://")
        rows = []
        for number, name in enumerate(names):
            body = encoded(scene(number))
            self.client.put_object(oss.PutObjectRequest(bucket=self.bucket, key=f"p/{name}.jpg", body=body))
            rows.append(f"('{name}', 'oss://{host}/{self.bucket}/p/{name}.jpg', '{{{{ ds }}}} {{name}}')")
        self.hook.execute_sql(
            f"CREATE TABLE {self.table}_i (image_id STRING, image_url STRING, note STRING) "
            "PARTITIONED BY (ds STRING)"
        )
        self.hook.execute_sql(
            f"INSERT OVERWRITE TABLE {self.table}_i PARTITION (ds='20261120') VALUES {', '.join(rows)}"
        )

    def script(self, name: str, *steps: dict[str, Any]) -> None:
        """Make the model play steps for a picture; the rule that was added last is asked first."""
        for number, step in reversed(list(enumerate(steps))):
            times = 1 if number < len(steps) - 1 else None
            self.cloud.control.models.script(VLM, call="chat", images=[f"/{name}.jpg"], times=times, **step)

    def operator(self, **arguments: Any) -> Any:
        return AiFuncLabelOperator(
            task_id="labels",
            scenario="s",
            source_table=f"{self.table}_i",
            output_table=f"{self.table}_o",
            **arguments,
            deferrable=False,
            poll_interval=0.2,
        )

    def rows(self, columns: str) -> dict[str, list[Any]]:
        found = self.hook.execute_sql(f"SELECT image_id, {columns} FROM {self.table}_o WHERE ds='20261120'")
        return {name: values for name, *values in found}


@pytest.fixture
def pictures(
    hook: DrivepipeHook, local_cloud: LocalCloud, oss_client: oss.Client, bucket: str, table: str
) -> Iterator[Pictures]:
    yield Pictures(hook, local_cloud, oss_client, bucket, table)
    local_cloud.control.models.clear()


LABELS = {"model": VLM, "prompt": PROMPT, "label_schema": "driving-scene/v1", "label_columns": True}


def label(prompt: str = PROMPT, name: str = "inline") -> Generate:
    """The stage of ``LABELS``, with another prompt, as a scenario has it: the prompt is no template."""
    schema = "driving-scene/v1"
    return models.label(VLM, prompt, Image("image_url"), prompt_name=name, schema=schema, flat_columns=True)


def test_every_answer_lands_in_its_class_and_the_counts_balance(
    pictures: Pictures, asked: dict[str, list[str]]
) -> None:
    pictures.add(*CASES)
    for name, case in CASES.items():
        pictures.script(name, *case.steps)
    operator = pictures.operator(**LABELS, embedding_model="qwen3-vl-embedding", embedding_dim=8)
    run = Run()
    with pictures.cloud.control.counting() as counted:
        report = run.execute(operator)

    assert {name: len(texts) for name, texts in asked.items()} == {n: c.calls for n, c in CASES.items()}
    assert counted["model.chat"] == sum(case.calls for case in CASES.values())
    assert counted["model.embed"] == len(CASES), "a repair is no reason to embed again"
    assert counted["maxframe.submit_dag"] == 1

    found = pictures.rows("status, error_stage, error_type, label_json_valid, image_embedding IS NULL")
    fine = {name for name, case in CASES.items() if case.becomes == "ok"}
    assert found == {
        name: ["ok", "", "", True, False]
        if name in fine
        else ["failed", "label", case.becomes, found[name][3], False]
        for name, case in CASES.items()
    }
    assert [name for name in found if found[name][3]] == [
        n for n in found if n in fine | {"no-picture-label"}
    ]

    reasons: dict[str, int] = {}
    for case in CASES.values():
        if case.becomes != "ok":
            reasons[case.becomes] = reasons.get(case.becomes, 0) + 1
    assert report["failures"] == {"label": reasons}
    total, bad = len(CASES), sum(reasons.values())
    counts = {"rows_in": total, "ok": total - bad, "failed": bad, "filtered": 0, "skipped": 0}
    assert report["stages"]["label"] == counts
    assert run.xcom(operator, "failure_counts") == {"label": bad, "image_embedding": 0}
    assert (report["ok"], report["failed"], report["rows_in"]) == (total - bad, bad, total)

    # Tokens of all answers count, those of rounds before a repair too.
    assert report["tokens"]["output"] == counted["model.output_tokens"]
    paid = pictures.rows("label_input_token, label_output_token")
    assert paid["wrong-enum"][0] > 2 * paid["plain"][0] > 0
    assert paid["cut-once"][1] > paid["plain"][1]

    normalised = {name: values[0] for name, values in pictures.rows("label_normalised").items()}
    for name, case in CASES.items():
        if case.normalised is not None:
            assert normalised[name] == case.normalised, name
    assert report["normalised"] == sum(filter(None, normalised.values())) == 6

    texts = {name: values[0] for name, values in pictures.rows("label_text").items()}
    for name in ("plain", "fenced", "prose", "trailing", "fullwidth", "wrong-enum", "cut-once"):
        assert json.loads(texts[name]) == LABEL, name
    assert json.loads(texts["chinese"])["weather"] == "rainy"
    assert texts["cut-ever"] == CUT
    assert json.loads(texts["wrong-enum-ever"])["weather"] == "purple"
    assert texts["empty"] is None

    flat = pictures.rows(", ".join(field.column for field in answer_fields("driving-scene/v1", "label")))
    assert flat["chinese"][:3] == ["rainy", "night", "highway"]
    assert flat["plain"][12:14] == [LABEL["caption"], False]
    assert json.loads(flat["plain"][7]) == LABEL["key_objects"]
    assert [value for value in flat["abstains"] if value is not None] == [True, "please provide the image"]
    assert not any(flat["wrong-enum-ever"])

    messages = pictures.rows("error_msg")
    assert '"purple" is none of clear, partly_cloudy' in messages["wrong-enum-ever"][0]
    assert messages["missing-ever"] == ["$: weather is missing"]
    assert "token limit" in messages["token-limit"][0]
    assert all(len(values[0]) <= 512 for values in messages.values())

    # The second request quotes the answer and says what was wrong; the first one is the prompt as it stands.
    first, second = asked["wrong-enum"]
    assert first == label().whole_prompt
    assert second.startswith(f"{label().whole_prompt}|")
    assert PURPLE in second
    assert '$.weather: "purple" is none of' in second


def test_a_retry_asks_only_for_failures_and_a_new_prompt_for_all(pictures: Pictures) -> None:
    names = ("plain", "wrong-enum-ever", "declined")
    pictures.add(*names)
    for name in names:
        pictures.script(name, *CASES[name].steps)
    run = Run()
    with pictures.cloud.control.counting() as counted:
        report = run.execute(pictures.operator(**LABELS, repair_rounds=0))
    assert counted["model.chat"] == 3
    assert report["failures"] == {"label": {"schema_violation": 1, "refusal": 1}}

    pictures.cloud.control.models.clear()
    pictures.script("wrong-enum-ever", {"content": PURPLE}, {"content": CUT}, {"content": GOOD})
    with pictures.cloud.control.counting() as counted:
        report = run.execute(pictures.operator(**LABELS, repair_rounds=2), try_number=2)
    assert counted["model.chat"] == 4, "three rounds for one row and one for the other; ok rows stay"
    assert (report["ok"], report["failed"], report["carried_over"]) == (3, 0, 1)
    assert report["tokens"]["input"] == counted["model.input_tokens"]

    with pictures.cloud.control.counting() as counted:
        Run(run_id="r2").execute(pictures.operator(stages=[label(name="other/v2")]))
    assert counted["model.chat"] == 3, "another version of the prompt"


TEMPLATES = (
    "{{ ds }} {% for x in (1,) %}{{ 7*7 }}{% endfor %} {# c #} ${HOME} $(id) `id` %s %(a)s {note} {0} {} "
    "{{}} }{ {image_url} {{note}} '\"\\n \\ ''' \"\"\" {!r} {x:>9} {drivepipe_repair_text} "
    "__import__('os') 标签{天气}"
)


@given(st.text(st.sampled_from("{}a0!: \n\"'%$#\\日") | st.characters(codec="utf-8"), max_size=40))
def test_a_prompt_is_no_template(prompt: str) -> None:
    row = dict.fromkeys(["a", "0", "a0", ""], "value")
    assert render(escape_braces(prompt), row) == prompt


def test_prompts_and_table_values_are_sent_as_they_stand(
    pictures: Pictures, asked: dict[str, list[str]]
) -> None:
    pictures.add("plain", "cut-ever")
    pictures.script("plain", {"content": GOOD})
    pictures.script("cut-ever", {"content": f"{TEMPLATES} {CUT}"})
    stage = label(TEMPLATES, "odd/v7")
    operator = pictures.operator(stages=[stage])
    macros = SimpleNamespace(drivepipe=SimpleNamespace(partition_spec=lambda: "ds=20261120"))
    operator.render_template_fields({"ds": "rendered", "macros": macros})
    report = Run(params={"label_prompt": None}).execute(operator)
    assert asked["plain"] == [stage.whole_prompt]
    assert asked["plain"][0].startswith(TEMPLATES)
    assert asked["cut-ever"][1].startswith(f"{stage.whole_prompt}|")
    assert f"{TEMPLATES} {CUT}" in asked["cut-ever"][1]
    assert report["prompts"]["label"]["text"] == TEMPLATES
    assert (report["prompts"]["label"]["name"], report["prompts"]["label"]["version"]) == ("odd/v7", "v7")
    assert report["prompts"]["label"]["schema"] == "driving-scene/v1"
    assert {tuple(v) for v in pictures.rows("note").values()} == {("{{ ds }} {name}",)}

    # The same from the trigger form.
    asked.clear()
    of_run = f"run {TEMPLATES}"
    report = Run(run_id="r2", params={"label_prompt": of_run}).execute(operator)
    assert asked["plain"] == [label(of_run).whole_prompt]
    assert report["prompts"]["label"]["text"] == of_run


def test_a_prompt_that_an_operator_is_given_is_a_template_of_airflow_and_its_text_none_of_a_row(
    pictures: Pictures, asked: dict[str, list[str]]
) -> None:
    pictures.add("plain")
    pictures.script("plain", {"content": GOOD})
    operator = pictures.operator(**{**LABELS, "prompt": "On {{ ds }}: {note} {{ '{{note}}' }}"})
    macros = SimpleNamespace(drivepipe=SimpleNamespace(partition_spec=lambda: "ds=20261120"))
    operator.render_template_fields({"ds": "2026-11-20", "macros": macros})
    report = Run().execute(operator)
    assert asked["plain"] == [label("On 2026-11-20: {note} {{note}}").whole_prompt]
    assert report["prompts"]["label"]["text"] == "On 2026-11-20: {note} {{note}}"
