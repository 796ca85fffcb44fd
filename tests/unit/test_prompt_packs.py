"""Packs of prompts: complete, in both languages, with answers that the machinery reads."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_drivepipe.pipelines.reasoning.packs import (
    BUILT_IN,
    LANGUAGES,
    MODES,
    PARTS,
    STEPS,
    PackError,
    load_pack,
    prompt_keys,
    step_of,
)
from airflow_provider_drivepipe.pipelines.reasoning.schemas import ANSWERS, answer_schema
from airflow_provider_drivepipe.stages.answer_schemas import load_answer_schema, schema_name
from airflow_provider_drivepipe.stages.prompts import is_chinese, state_schema
from airflow_provider_drivepipe.worker.label_find import find_label

DOCS = Path(__file__).parents[2] / "docs"
EVERY_PACK = [(name, language) for name in BUILT_IN for language in LANGUAGES]
QUESTIONS = [step for step in STEPS if step.startswith("qa.")]


def own_pack(folder: Path, text: str, language: str = "en") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{language}.md").write_text(f"version: 3\n{text}", "utf-8")
    return folder


def changed(pack, other):
    return {key for key in prompt_keys() if pack.prompts[key].sha256 != other.prompts[key].sha256}


@pytest.mark.parametrize(("name", "language"), EVERY_PACK)
def test_built_in_packs_are_complete(name, language):
    pack = load_pack(name, language)
    assert tuple(pack.prompts) == prompt_keys()
    assert pack.title == f"{name}-{language} v2"
    for key, prompt in pack.prompts.items():
        assert is_chinese(prompt.text) == (language == "zh"), key
        placed = re.findall(r"\{([^}]*)\}", prompt.text)
        assert set(placed) == set(prompt.columns) <= set(STEPS[step_of(key)]), key
        assert "FILL IN" not in prompt.text
        assert "  " not in prompt.text, key


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_step_gets_all_it_needs_from_the_row(language):
    pack = load_pack("dashcam", language)
    seen = {step: set() for step in STEPS}
    for key, prompt in pack.prompts.items():
        seen[step_of(key)] |= set(prompt.columns)
    # The clip around the critical moment is told of by its own times.
    assert seen == {step: set(columns) for step, columns in STEPS.items()} | {
        "highlight": {"start", "end", "moment"}
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_pack_speaks_of_its_own_domain(language):
    packs = [load_pack(name, language) for name in BUILT_IN]
    seeing = [key for key in prompt_keys() if not key.startswith("qa.") and key != "blind"]
    for key in (*seeing, "qa.mcq.anomaly", "qa.scene_description.normal"):
        assert len({pack.prompt(key) for pack in packs}) == len(BUILT_IN), key


@pytest.mark.parametrize(("name", "language"), EVERY_PACK)
def test_options_have_no_letters_in_any_prompt(name, language):
    pack = load_pack(name, language)
    letter = re.compile(r"\b[A-Da-d][.)]\s|(?:[Oo]ption|[Aa]nswer|选项|答案)\s*[A-D]\b|\b[B-D]\b")
    for key, text in pack.prompts.items():
        whole = f"{text.text}\n{state_schema(answer_schema(step_of(key), language), language == 'zh')}"
        assert not letter.search(whole), key
    never = {"en": "never of a letter, a number or a place", "zh": "绝不提字母、编号或位置"}
    assert all(never[language] in pack.prompt(f"qa.mcq.{mode}") for mode in MODES)


@pytest.mark.parametrize(("name", "language"), EVERY_PACK)
def test_no_question_may_mention_what_it_was_made_from(name, language):
    pack = load_pack(name, language)
    never = {"en": "never mention a description, captions or data", "zh": "不要提到描述、字幕或数据"}
    for step in QUESTIONS:
        assert all(never[language] in pack.prompt(f"{step}.{mode}") for mode in MODES)


def test_steps_of_prompts_and_of_answers_are_the_same():
    assert set(STEPS) == set(ANSWERS)


@pytest.mark.parametrize("step", ANSWERS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_schemas_are_accepted_and_stated_in_their_language(step, language):
    schema = load_answer_schema(answer_schema(step, language))
    assert schema_name(answer_schema(step, language)) == f"reasoning-{step}"
    for text in described(schema["properties"]):
        assert bool(re.search("[\u4e00-\u9fff]", text)) == (language == "zh")


def described(properties):
    for each in properties.values():
        yield each["description"]
        yield from described(each.get("items", each).get("properties", {}))


def test_schemas_in_the_docs_are_those_in_use():
    page = (DOCS / "prompt-packs.md").read_text("utf-8")
    published = json.loads((DOCS / "reasoning-answers.json").read_text("utf-8"))
    assert published == {step: json.loads(answer_schema(step)) for step in ANSWERS}
    rows = {
        step: set(re.findall(r"`(\w+)`", keys))
        for steps, keys in re.findall(r"^\| (`.*?) \| (.*) \|$", page, re.MULTILINE)
        for step in re.findall(r"`([\w.]+)`", steps)
    }
    assert rows == {step: set(names(schema["properties"])) for step, schema in published.items()}


def names(properties):
    for name, each in properties.items():
        yield name
        yield from names(each.get("items", each).get("properties", {}))


def read(step, answer, language="en"):
    """Return what is taken out of an answer, and what does not fit."""
    label = find_label(answer, load_answer_schema(answer_schema(step, language)))
    assert label is not None
    return label.value, label.problem


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ('"**Anomaly**"', "anomaly"),
        ('"Classification: Anomaly"', "anomaly"),
        ('"Classification: **Normal**."', "normal"),
        ('"分类：异常"', "anomaly"),
        ('["normal"]', "normal"),
    ],
)
def test_a_class_is_read_however_it_is_decorated(said, meant):
    answer = f'{{"observation": "o", "reason": "r", "in_domain": true, "mode": {said}}}'
    value, problem = read("filter", answer)
    assert (value["mode"], problem) == (meant, "")


@pytest.mark.parametrize(
    ("said", "meant"), [('"**Yes**"', True), ('"Answer: Yes"', True), ('"yes."', True), ('"否"', False)]
)
def test_yes_is_read_however_it_is_decorated(said, meant):
    answer = f'{{"observation": "o", "reason": "r", "in_domain": {said}, "mode": "normal"}}'
    value, problem = read("filter", answer)
    assert (value["in_domain"], problem) == (meant, "")


@pytest.mark.parametrize("said", ['"Not visible"', '"Yesterday"', '"maybe"', "null"])
def test_what_is_neither_yes_nor_no_does_not_fit(said):
    answer = f'{{"observation": "o", "reason": "r", "in_domain": {said}, "mode": "normal"}}'
    assert "in_domain" in read("filter", answer)[1]


@pytest.mark.parametrize("step", [step for step in ANSWERS if step not in ("filter", "blind")])
def test_an_answer_that_abstains_may_leave_out_the_rest(step):
    assert read(step, '{"abstain": true}') == ({"abstain": True}, "")
    assert read(step, '{"abstain": false}')[1]


@pytest.mark.parametrize("time", ['"01:05.2"', '"00:01:05"', "65.2", "65"])
def test_times_are_clock_texts_or_seconds(time):
    answer = f'{{"events": [{{"start": {time}, "End Time": {time}, "text": "a car brakes"}}]}}'
    value, problem = read("dense_caption", answer)
    assert problem == ""
    assert value["events"][0]["start_mmss"] == value["events"][0]["end_mmss"] == json.loads(time)


def test_a_multiple_choice_question_has_four_options():
    question = {"question": "q", "answer": "a", "reasoning": "r", "start_mmss": "00:01", "end_mmss": "00:02"}
    assert read("qa.mcq", json.dumps({**question, "options": ["a", "b", "c", "d"]}))[1] == ""
    assert "options" in read("qa.mcq", json.dumps({**question, "options": ["a", "b", "c"]}))[1]


def test_a_pair_of_questions_needs_both():
    half = {"question": "q", "explanation": "e", "reasoning": "r", "start_mmss": "00:01", "end_mmss": "00:02"}
    assert read("qa.bcq", json.dumps({"yes": half, "no": half}))[1] == ""
    assert "no" in read("qa.bcq", json.dumps({"yes": half}))[1]


@pytest.mark.parametrize("key", prompt_keys())
def test_a_pack_that_replaces_one_prompt_changes_that_prompt_alone(key, tmp_path):
    pack = load_pack(own_pack(tmp_path / "mine", f"base: dashcam\n\n## {key}\nSay something."))
    assert changed(pack, load_pack("dashcam")) == {key}
    assert pack.prompt(key) == "Say something."
    assert pack.title == "mine-en v3"


def test_a_pack_that_replaces_a_text_changes_the_prompts_that_hold_it(tmp_path):
    pack = load_pack(own_pack(tmp_path / "mine", "base: traffic\n\n## questions\nGood questions are short."))
    holding = {f"{step}.{mode}" for step in ("qa.mcq", "qa.bcq", "qa.open_qa") for mode in MODES}
    assert changed(pack, load_pack("traffic")) == holding


def test_a_text_of_the_pack_is_before_shared_ones_for_the_mode(tmp_path):
    text = "base: general\n\n## focus\nAsk anything.\n\n## focus.normal\nAsk little."
    pack = load_pack(own_pack(tmp_path / "mine", text))
    assert "Ask anything." in pack.prompt("qa.mcq.anomaly")
    assert "Ask little." in pack.prompt("qa.mcq.normal")


def test_a_version_alone_changes_no_prompt(tmp_path):
    pack = load_pack(own_pack(tmp_path / "mine", "base: general\n"))
    assert changed(pack, load_pack("general")) == set()
    assert pack.sha256 == load_pack("general").sha256


def test_braces_that_hold_no_name_are_braces(tmp_path):
    text = 'base: general\n\n## blind\nAnswer {question} like {"answer": "…"} or {}.'
    prompt = load_pack(own_pack(tmp_path / "mine", text)).prompts["blind"]
    assert prompt.text.endswith('like {"answer": "…"} or {}.')
    assert prompt.columns == ("question",)


def test_all_problems_are_named_at_once_with_their_lines(tmp_path):
    folder = tmp_path / "mine"
    text = """\
## domain
FILL IN: what the videos are
## anomlay
Typo.
## moment.anomaly
There is one mode only.
## filter
{duration} {Duration}
{highlight}
## qa_rules
{qa_rules}
## video
"""
    with pytest.raises(PackError) as raised:
        load_pack(own_pack(folder, text))
    place = f"{folder}/en.md"
    may_hold = "in the prompt filter; it may hold {duration} and the texts of the pack"
    assert set(raised.value.problems) == {
        f"{place}:3: still to be filled in: what the videos are",
        f"{place}:4: there is no key anomlay",
        f"{place}:6: there is no key moment.anomaly",
        f"{place}:9: there is no {{Duration}} {may_hold}",
        f"{place}:10: there is no {{highlight}} {may_hold}",
        f"{place}:12: qa_rules holds itself",
        f"{place}:13: video has no text",
        *(f"{place}: {part} is missing" for part in set(PARTS) - {"domain", "in_domain"}),
    }


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("## domain\nNo version.\n", ":1: a line 'version: 1' belongs before the first key"),
        ("version: 1\nbase: dashcan\n", ": there is no base 'dashcan'"),
        ("version: 1\nbase: dashcam\n## anomaly\na\n## anomaly\nb\n", ":5: anomaly is there twice"),
        ("version: 1\nbase: dashcam\n## anomaly\nSo.\n{start}\n", ":5: there is no {start} in"),
    ],
)
def test_a_file_that_is_no_pack(content, problem, tmp_path):
    (tmp_path / "en.md").write_text(content)
    with pytest.raises(PackError) as raised:
        load_pack(tmp_path)
    assert any(f"{tmp_path}/en.md{problem}" in each for each in raised.value.problems)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(PackError, match=r"nowhere/zh\.md: cannot be read.*built-in packs are dashcam"):
        load_pack(tmp_path / "nowhere", "zh")


def test_a_file_that_is_not_text(tmp_path):
    (tmp_path / "en.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PackError, match="not UTF-8"):
        load_pack(tmp_path)


def test_importing_packs_brings_nothing_heavy():
    code = (
        "import sys; import airflow_provider_drivepipe.pipelines.reasoning.packs as packs, "
        "airflow_provider_drivepipe.pipelines.reasoning.schemas; packs.load_pack('dashcam'); "
        "print([m for m in ('airflow', 'pandas', 'maxframe', 'odps', 'pyarrow', 'av') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == "[]\n"
