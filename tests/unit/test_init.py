"""drivepipe init: questions, drafts and files."""

import io
import sys

import pytest
import yaml

from airflow_provider_drivepipe.cli.init import main
from airflow_provider_drivepipe.cli.questions import Interview
from airflow_provider_drivepipe.cli.validate import main as validate
from airflow_provider_drivepipe.documents.draft_file import scenario_file
from airflow_provider_drivepipe.documents.drafting import (
    conventional,
    input_shapes,
    missing_keys,
    possible_targets,
    problems,
    with_needed_targets,
)
from airflow_provider_drivepipe.pipelines.driving.guide import INPUT_SHAPES, TARGETS
from airflow_provider_drivepipe.pipelines.driving.scenario import DrivingScenario
from airflow_provider_drivepipe.pipelines.loading import load_scenario


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Terminal(io.StringIO):
    """A terminal on which these lines are typed; an exception among them is raised instead."""

    def __init__(self, lines):
        super().__init__()
        self.lines = list(lines)

    def isatty(self):
        return True

    def readline(self, *_):
        line = self.lines.pop(0)
        if isinstance(line, str):
            return f"{line}\n"
        raise line


@pytest.fixture
def terminal(monkeypatch):
    def type_lines(*lines):
        stdin = Terminal(lines)
        monkeypatch.setattr(sys, "stdin", stdin)
        return stdin.lines

    return type_lines


def settings(**values):
    return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]


FULL = {
    "scenario_name": "night_rain",
    "input_shape": "oss_prefix",
    "targets": "manifest,frame-extraction,labeling",
    "oss_bucket": "my-bucket",
    "vlm_model": "a-model",
}


def test_without_a_terminal_what_is_missing_becomes_a_field_to_fill_in(folder, capsys):
    assert main(settings(scenario_name="night_rain", input_shape="oss_prefix")) == 0
    text = (folder / "night_rain.yaml").read_text()
    assert "FILL IN" in yaml.safe_load(text)["targets"]
    said = capsys.readouterr().out
    assert "still to do" in said
    assert "targets" in said
    assert validate(["night_rain.yaml"]) == 1
    named = capsys.readouterr().err
    assert "targets: still to fill in" in named
    assert "oss_bucket: still to fill in" in named


def test_a_full_set_of_flags_gives_a_valid_scenario_with_conventional_names(folder, capsys):
    assert main(settings(**FULL)) == 0
    scenario = load_scenario(folder / "night_rain.yaml")
    assert scenario.video_input_table == "night_rain_video_manifest"
    assert scenario.final_table == "night_rain_image_labeling"
    assert scenario.frames_prefix == "night_rain"
    assert "DAG drivepipe_night_rain" in capsys.readouterr().out


def test_a_file_is_never_overwritten_unless_told_to(folder, capsys):
    file = folder / "night_rain.yaml"
    file.write_text("mine")
    assert main(settings(**FULL)) == 1
    assert file.read_text() == "mine"
    assert "--force" in capsys.readouterr().err
    assert main([*settings(**FULL), "--force"]) == 0
    assert load_scenario(file).scenario_name == "night_rain"
    assert [path.name for path in folder.iterdir()] == ["night_rain.yaml"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "scenario_name"], "KEY=VALUE"),
        (["--set", "secret_key"], "KEY=VALUE"),
        (["--set", "scenario_name=A"], "lower-case"),
        (["--set", "vlm_modle=x"], "unknown key; did you mean vlm_model"),
        (["--set", "access_key_id=abc123"], "Airflow connection"),
        (["--set", "owner=a", "--set", "owner=b"], "twice"),
        (["--set", "source_table=a;drop"], "not a table name"),
        (["x.txt"], "ends in .yaml"),
        (["defaults.yaml"], "underneath"),
        (["no/such/folder/x.yaml", "--set", "scenario_name=x"], "cannot be written"),
    ],
)
def test_wrong_flags_write_nothing(folder, arguments, said, capsys):
    assert main(arguments) == 1
    shown = capsys.readouterr().err
    assert said in shown
    assert "abc123" not in shown
    assert list(folder.iterdir()) == []


def test_an_interview_asks_again_and_follows_the_answers(folder, terminal, capsys):
    left = terminal(
        *("7", "oss_prefix"),
        *("Not A Bucket", "my-bucket"),
        "trips/{ds}/",
        *("99", "everything", "labeling,  embedding"),
        *("", "an-embedder"),
        *("Night Rain", "night_rain"),
        "yes",
        *("my table", ""),
        "",
    )
    assert main([]) == 0
    assert left == []
    shown = capsys.readouterr().out
    headings = ("Where are the videos", "What do you want of them", "Where shall it go")
    assert sorted(headings, key=shown.index) == list(headings)
    assert "a number from 1 to" in shown
    assert "everything: none of these" in shown
    assert "with what it needs: manifest, frame-extraction, labeling, embedding" in shown
    assert "not a table name" in shown
    values = yaml.safe_load((folder / "night_rain.yaml").read_text())
    assert values["split_video"] is True
    assert values["oss_bucket"] == "my-bucket"
    assert values["targets"] == ["manifest", "frame-extraction", "labeling", "embedding"]
    assert values["vlm_model"].startswith("FILL IN")
    assert "still to fill in: vision-language model" in shown


@pytest.mark.parametrize("end", [EOFError(), KeyboardInterrupt()])
def test_a_stopped_interview_writes_nothing(folder, terminal, end, capsys):
    terminal("1", "my-bucket", end)
    assert main([]) == 130
    assert list(folder.iterdir()) == []
    assert "nothing was written" in capsys.readouterr().err


def test_known_answers_are_not_asked(folder, terminal):
    (folder / "defaults.yaml").write_text("oss_bucket: ours\nvlm_model: m\n")
    left = terminal("", "no", "", "")
    values = {k: v for k, v in FULL.items() if k not in ("oss_bucket", "vlm_model")}
    assert main(settings(**values)) == 0
    assert left == []
    assert "oss_bucket: ours" not in (folder / "night_rain.yaml").read_text()
    assert load_scenario(folder / "night_rain.yaml").oss_bucket == "ours"


@pytest.mark.parametrize(
    ("shape", "targets"), [(shape, t) for shape in input_shapes() for t in possible_targets(shape)]
)
def test_every_shape_and_target_that_is_offered_gives_a_draft_that_can_be_completed(folder, shape, targets):
    draft = {"scenario_name": "x_y", "input_shape": shape, "targets": list(targets)}
    draft.update(conventional(draft))
    open_keys = missing_keys(draft)
    text = scenario_file(draft)
    assert set(yaml.safe_load(text)) == {*draft, *open_keys}
    answers = {"oss_bucket": "my-bucket", "source_table": "t", "vlm_model": "m", "embedding_model": "e"}
    whole = {**draft, **{key: answers.get(key, "a_name") for key in open_keys}}
    assert problems(whole) == []
    DrivingScenario(**whole)
    commented = [line[2:] for line in text.splitlines() if line.startswith("# ") and ": " in line]
    hints = [h for h in commented if h.split(":")[0] in DrivingScenario.model_fields]
    # Every hint, uncommented on its own, is valid too.
    for hint in hints:
        assert problems({**whole, **yaml.safe_load(hint)}) == [], hint


@pytest.mark.parametrize(
    ("shape", "targets", "names"),
    [
        ("clip_dir_table", "keyframe-expansion", {"output_table": "x_clip_keyframe_expansion"}),
        (
            "image_table",
            "image-preparation",
            {"output_table": "x_image_features", "prepared_prefix": "x_prepared"},
        ),
        ("image_table", "embedding", {"output_table": "x_image_embedding"}),
        ("labeled_image_table", "label-embedding", {"output_table": "x_label_embedding"}),
        ("clip_dir_table", "labeling", {"output_table": "x_image_labeling"}),
        (
            "video_table",
            "frame-extraction,image-preparation",
            {"output_table": "x_image_features", "frames_prefix": "x", "prepared_prefix": "x_prepared"},
        ),
    ],
)
def test_tables_are_called_by_what_is_in_them(shape, targets, names):
    draft = {"scenario_name": "x", "input_shape": shape, "targets": targets.split(",")}
    assert conventional(draft) == names
    assert problems({**draft, **names}) == []


def test_images_that_are_not_written_get_no_prefix():
    draft = {"scenario_name": "x", "input_shape": "image_table", "targets": ["image-preparation", "labeling"]}
    assert "prepared_prefix" in conventional(draft)
    assert "prepared_prefix" not in conventional({**draft, "prepared_images": "inline"})


@pytest.mark.parametrize(
    ("shape", "offered"),
    [
        ("oss_prefix", "manifest frame-extraction image-preparation labeling embedding label-embedding"),
        ("video_table", "frame-extraction image-preparation labeling embedding label-embedding"),
        ("clip_dir_table", "keyframe-expansion image-preparation labeling embedding label-embedding"),
        ("image_table", "image-preparation labeling embedding label-embedding"),
        ("labeled_image_table", "image-preparation embedding label-embedding"),
    ],
)
def test_a_shape_offers_the_targets_that_it_can_have(shape, offered):
    assert {target for targets in possible_targets(shape) for target in targets} == set(offered.split())


def test_targets_get_what_they_need():
    assert with_needed_targets("image_table", ["label-embedding"]) == ("labeling", "label-embedding")
    assert with_needed_targets("clip_dir_table", ["labeling"]) == ("labeling",)
    assert with_needed_targets("labeled_image_table", ["label-embedding"]) == ("label-embedding",)
    assert with_needed_targets("oss_prefix", ["embedding"]) == ("manifest", "frame-extraction", "embedding")
    assert with_needed_targets("video_table", ["frame-extraction"]) == ("frame-extraction",)
    assert with_needed_targets("video_table", ["manifest"]) == ("manifest",)


def test_every_choice_is_explained():
    assert set(input_shapes()) <= set(INPUT_SHAPES)
    assert {t for s in input_shapes() for targets in possible_targets(s) for t in targets} <= set(TARGETS)


@pytest.mark.parametrize(
    "value", ["yes", "no", "null", "1e3", "a: b", "#x", "'", "[", "{{ds}}", "夜雨", "a\tb"]
)
def test_values_stay_what_they_were(folder, value):
    text = scenario_file({"scenario_name": "x", "description": value})
    assert yaml.safe_load(text)["description"] == value


def test_an_interview_leaves_its_draft_alone():
    draft = {"scenario_name": "x", "input_shape": "oss_prefix", "targets": ["manifest"]}
    answers = iter(["", "", ""])
    found = Interview(draft, {}, lambda _: next(answers)).run()
    assert "oss_bucket" not in draft
    assert found["video_input_table"] == "x_video_manifest"


@pytest.mark.parametrize(
    ("shape", "targets", "offered"),
    [
        ("video_table", ["frame-extraction"], True),
        ("clip_dir_table", ["keyframe-expansion"], True),
        ("image_table", ["labeling"], False),
    ],
)
def test_filters_are_offered_where_there_are_frames_or_keyframes(shape, targets, offered):
    text = scenario_file({"scenario_name": "x", "input_shape": shape, "targets": targets})
    assert ("# frame_filters: [too_dark, too_blurred]" in text) is offered
