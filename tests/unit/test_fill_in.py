"""Fields that a scenario file leaves open: each is named with its line, and called wrong for nothing else."""

import textwrap

import pytest

from airflow_provider_drivepipe.cli.validate import main as validate
from airflow_provider_drivepipe.pipelines.loading import ScenarioError, load_scenario
from airflow_provider_drivepipe.scenario.fill_in import fill_in, open_field

OPEN = """\
scenario_name: night
input_shape: oss_prefix
targets: [manifest, frame-extraction, labeling]
oss_bucket: "FILL IN: bucket that holds the videos"
video_input_table: "FILL IN"
output_tables: {frames: "FILL IN: table of frames", final: "FILL IN: final table"}
vlm_model: "FILL IN: the model"
"""


def problems(folder, text):
    path = folder / "night.yaml"
    path.write_text(textwrap.dedent(text))
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    return [(p.line, p.key, p.message) for p in caught.value.problems]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (fill_in("a bucket"), "a bucket"),
        ("FILL IN", ""),
        (" FILL IN : x", "x"),
        ({"frames": ["a", "FILL IN: b"]}, "b"),
        ("FILL IN the blanks of the picture", None),
        ("fill in: x", None),
        ("say FILL IN: x", None),
        (["a"], None),
        (None, None),
        (3, None),
    ],
)
def test_what_counts_as_open(value, found):
    assert open_field(value) == found


def test_every_open_field_is_named_once_with_its_line_and_what_belongs_there(tmp_path, capsys):
    assert problems(tmp_path, OPEN) == [
        (4, "oss_bucket", "still to fill in: bucket that holds the videos"),
        (5, "video_input_table", "still to fill in: manifest table that the listing writes"),
        (6, "output_tables", "still to fill in: table of frames"),
        (7, "vlm_model", "still to fill in: the model"),
    ]
    assert validate([str(tmp_path / "night.yaml")]) == 1
    shown = capsys.readouterr().err
    assert f"{tmp_path / 'night.yaml'}:4: oss_bucket: still to fill in: bucket" in shown
    assert "4 problems" in shown


def test_open_fields_hide_no_other_mistake(tmp_path):
    found = problems(tmp_path, OPEN + "embedding_dim: 8\njpeg_quality: 500\nfram_fps: 2\n")
    assert [line for line, _, _ in found] == [4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("key", ["input_shape", "targets"])
def test_while_shape_or_targets_are_open_nothing_is_said_of_what_they_decide(tmp_path, key):
    text = "scenario_name: night\ninput_shape: video_table\ntargets: [labeling]\nvlm_model: v\n"
    lines = [f'{key}: "FILL IN: choose"' if line.startswith(key) else line for line in text.splitlines()]
    assert [(k, m) for _, k, m in problems(tmp_path, "\n".join(lines))] == [(key, "still to fill in: choose")]


def test_a_credential_stays_a_credential(tmp_path):
    [(_, key, message)] = problems(
        tmp_path,
        """\
        scenario_name: night
        input_shape: video_table
        targets: [frame-extraction]
        oss_bucket: my-bucket
        source_table: a
        output_table: b
        access_key_id: "FILL IN: the key"
        """,
    )
    assert key == "access_key_id"
    assert "Airflow connection" in message
