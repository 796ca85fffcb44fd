"""Scenario files: every mistake is reported, at once, with its line."""

import textwrap

import pytest

from airflow_provider_drivepipe.cli.validate import main as validate
from airflow_provider_drivepipe.pipelines.loading import ScenarioError, load_scenario

GOOD = """\
scenario_name: night
input_shape: oss_prefix
targets: [manifest, frame-extraction, labeling]
oss_bucket: my-bucket
video_input_table: night_manifest
output_table: night_labels
vlm_model: some-model
"""


def write(folder, text, name="night.yaml"):
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


def problems(folder, text):
    with pytest.raises(ScenarioError) as caught:
        load_scenario(write(folder, text))
    return [(p.line, p.key, p.message) for p in caught.value.problems]


def test_good_file(tmp_path):
    scenario = load_scenario(write(tmp_path, GOOD))
    assert scenario.dag_id == "drivepipe_night"
    assert scenario.partition_col == "ds"


def test_three_mistakes_are_three_problems_with_lines(tmp_path, capsys):
    text = GOOD.replace("my-bucket", "My_Bucket") + "fram_fps: 1\njpeg_quality: 500\n"
    found = problems(tmp_path, text)
    assert [(line, key) for line, key, _ in found] == [
        (4, "oss_bucket"),
        (8, "fram_fps"),
        (9, "jpeg_quality"),
    ]
    assert "did you mean frame_fps?" in found[1][2]
    assert validate([str(tmp_path / "night.yaml")]) == 1
    shown = capsys.readouterr().err
    assert f"{tmp_path / 'night.yaml'}:4: oss_bucket: " in shown
    assert "3 problems" in shown


def test_everything_missing_is_named_at_once_with_purpose_and_example(tmp_path):
    found = problems(
        tmp_path,
        "scenario_name: night\ninput_shape: oss_prefix\ntargets: [manifest, frame-extraction, labeling]\n",
    )
    assert {key for _, key, _ in found} == {"video_input_table", "oss_bucket", "output_table", "vlm_model"}
    assert all("missing: " in message and "; for example " in message for _, _, message in found)


@pytest.mark.parametrize(
    "key", ["access_key_id", "oss_access_key_secret", "password", "sk", "DASHSCOPE_API_KEY"]
)
def test_credentials_are_refused_and_not_shown(tmp_path, key):
    [(line, found, message)] = problems(tmp_path, GOOD + f"{key}: hunter2value\n")
    assert (line, found) == (8, key)
    assert "Airflow connection" in message
    assert "hunter2value" not in message


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, "empty"),
        ("- a\n- b\n", 1, "keys and values"),
        ("a: [\n", 2, "not valid YAML"),
        ("\tscenario_name: x\n", 1, "not valid YAML"),
        ("owner: x\nlabel_prompt: {{ ds }}\n", 2, "put a text that starts with { into quotes"),
        ("start_date: 2026-13-45\n", 1, "cannot be read: month"),
    ],
)
def test_files_that_are_no_scenario(tmp_path, text, line, said):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    [problem] = caught.value.problems
    assert problem.line == line
    assert said in problem.message


def test_duplicate_key_names_both_lines(tmp_path):
    [(line, key, message)] = problems(tmp_path, GOOD + "owner: a\nowner: b\n")
    assert (line, key) == (9, "owner")
    assert "line 8" in message


@pytest.mark.parametrize(
    ("change", "key", "said"),
    [
        ({"targets": "[manifest, labeling]"}, "targets", "add frame-extraction"),
        ({"targets": "[frame-extraction, labeling]"}, "targets", "add manifest"),
        ({"input_shape": "image_table"}, "targets", "as in [labeling]"),
        ({"input_shape": "video_table"}, "source_table", "missing"),
        ({"targets": "[manifest, sing]"}, "targets", "labeling"),
        ({"output_table": "drop table x"}, "output_table", "not a table name"),
        ({"scenario_name": "../x"}, "scenario_name", "lower-case"),
        ({"oss_prefix": "../x"}, "oss_prefix", "key prefix"),
        ({"frame_fps": "1/0"}, "frame_fps", "between 0 and 240"),
        ({"frame_fps": "2", "frame_sample_count": "4"}, "frame_sample_count", "not both"),
        ({"output_tables": "{final: out}"}, "output_tables", "frames: field required"),
        ({"output_tables": "{frames: f}", "split_video": "false"}, "output_tables", "split_video says false"),
        ({"output_tables": "{frames: f, final: other}"}, "output_table", "once"),
        ({"partition_fixed": "{ds: x}"}, "partition_fixed", "cannot be fixed"),
        ({"partition_fixed": "{region: 'a b'}"}, "partition_fixed", "not allowed"),
        ({"partition_key_format": "ds=%Y%m%d"}, "partition_key_format", "refuses"),
        ({"partition_key_format": "'%Y%m%d%H'"}, "partition_key_format", "finer"),
        ({"partition_value": "2026-11-20"}, "partition_value", "does not fit"),
        ({"max_row_attempts": "0"}, "max_row_attempts", "greater than or equal to 1"),
        ({"workers": "0"}, "workers", "greater than or equal to 1"),
        ({"embedding_dim": "8"}, "embedding_dim", "no effect"),
        ({"timezone": "Moon/Base"}, "timezone", "IANA"),
        ({"schedule": "daily-ish"}, "schedule", "cron"),
        ({"oss_mount_path": "/etc"}, "oss_mount_path", "/mnt/"),
    ],
)
def test_what_does_not_go_together(tmp_path, change, key, said):
    lines = dict(line.split(": ", 1) for line in GOOD.splitlines())
    lines.update(change)
    found = problems(tmp_path, "".join(f"{k}: {v}\n" for k, v in lines.items()))
    assert any(k == key and said in message for _, k, message in found), found


@pytest.mark.parametrize(
    ("given", "read"), [("2", "2"), ("0.5", "1/2"), ("1/2", "1/2"), ("30000/1001", "30000/1001")]
)
def test_frame_rates(tmp_path, given, read):
    assert load_scenario(write(tmp_path, GOOD + f"frame_fps: {given}\n")).frame_fps == read


def test_defaults_lie_underneath_and_their_mistakes_name_their_file(tmp_path):
    (tmp_path / "defaults.yaml").write_text("owner: team\ntimezone: UTC\n")
    scenario = load_scenario(write(tmp_path, GOOD + "timezone: Asia/Tokyo\n"))
    assert (scenario.owner, scenario.timezone) == ("team", "Asia/Tokyo")
    (tmp_path / "defaults.yaml").write_text("ownr: team\n")
    with pytest.raises(ScenarioError, match=r"defaults\.yaml:1: ownr"):
        load_scenario(tmp_path / "night.yaml")


def test_prompt_from_a_file_beside_the_scenario_only(tmp_path):
    (tmp_path / "p.txt").write_text("Say {what} you see")
    scenario = load_scenario(write(tmp_path, GOOD + "label_prompt: file:p.txt\n"))
    assert scenario.label_prompt == "Say {what} you see"
    [(_, key, _)] = problems(tmp_path, GOOD + "label_prompt: file:../../etc/hostname\n")
    assert key == "label_prompt"


def test_unchanged_file_is_not_read_again_and_a_changed_one_is(tmp_path):
    path = write(tmp_path, GOOD)
    first = load_scenario(path)
    assert load_scenario(path) is first
    path.write_text(GOOD + "owner: somebody\n")
    assert load_scenario(path).owner == "somebody"
