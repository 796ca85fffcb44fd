"""Standalone scripts keep the rules for jobs on MaxFrame, whatever the scenario, and need nothing of ours."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from airflow_provider_drivepipe.cli.script import main
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.pipelines.driving.scenario import DrivingScenario
from airflow_provider_drivepipe.pipelines.driving.script_code import bundle, literal
from airflow_provider_drivepipe.pipelines.driving.scripts import scripts
from airflow_provider_drivepipe.pipelines.loading import load_scenario

ROOT = Path(__file__).parents[2]
EXAMPLES = {file.stem: file for file in sorted((ROOT / "dags" / "scenarios").glob("*.yaml"))}
OTHER_FAMILIES = ("reasoning_demo", "video_qa_demo")
VARIANTS = {
    "clip_labels": {"split_video": True, "frame_filters": ["too_dark"], "keep_raw_response": True},
    "driving_demo": {
        "targets": ["manifest", "frame-extraction", "image-preparation", "labeling", "label-embedding"],
        "oss_root": "oss://oss.zzyzx.test/zzyzx-bucket/all",
        "output_table": "zzyzx_project.labels",
        "prepared_images": "inline",
        "label_columns": True,
        "label_embedding_model": "zzyzx-model",
        "embedding_model": None,
        "embedding_dim": None,
        "partition_fixed": {"region": "east"},
        "frame_filters": ["near_duplicate"],
        "meta_lifecycle": 7,
    },
    "driving_split": {
        "label_prompt": 'Say "{what}"\\ 请描述道路、天气与交通参与者，' + "尽量完整。" * 30,
        "label_schema": None,
        "label_prompt_style": "driving-scene-en",
        "embedding_dim": None,
        "frames_prefix": "frames/{run} of trips",
    },
}
MODULES = {"alibabacloud_oss_v2", "cloudpickle", "maxframe", "odps", "pandas"}
IN_WORKERS = {"PIL", "av", "numpy"}
USED = (*EXAMPLES.keys() - set(OTHER_FAMILIES), *(f"{name}, varied" for name in VARIANTS))


@cache
def scenario(name):
    found = load_scenario(EXAMPLES[name.removesuffix(", varied")])
    if not name.endswith("varied"):
        return found
    values = found.model_dump(exclude_unset=True)
    return DrivingScenario(**values | VARIANTS[name.removesuffix(", varied")])


@cache
def written(name):
    return scripts(scenario(name))


@cache
def parsed(name):
    return [(script, ast.parse(script.text)) for script in written(name)]


every = pytest.mark.parametrize("name", sorted(USED))


def calls(tree, name):
    """The calls of a function or method: each with its keywords as source."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name in (
            getattr(node.func, "attr", ""),
            getattr(node.func, "id", ""),
        ):
            yield {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}


def imported(nodes):
    """The packages that import statements name."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)


def test_each_task_has_a_file_that_says_what_it_is():
    names = {name: [script.name for script in written(name)] for name in USED}
    assert names["driving_demo"] == ["driving_demo_video_manifest.py", "driving_demo_video_labeling.py"]
    assert names["driving_split"] == [
        "driving_split_video_frame_extraction.py",
        "driving_split_image_labeling.py",
    ]
    assert all(len(set(files)) == len(files) for files in names.values())


@every
def test_nothing_of_the_place_is_in_it(name):
    of_scenario = scenario(name)
    places = [of_scenario.bucket, of_scenario.oss_root, "aliyuncs", "zzyzx"]
    places += [getattr(of_scenario, key) for key in ("vlm_model", "embedding_model", "label_embedding_model")]
    for script in written(name):
        assert [place for place in places if place and place in script.text] == []
        read = {s.name for s in script.settings if s.value is not None}
        assert {"ODPS_PROJECT", "MODEL_PROJECT", "OSS_ENDPOINT", "OSS_ROLE_ARN"}.isdisjoint(read)


@every
def test_it_needs_documented_packages_only_and_models_come_from_the_catalog(name):
    for script, tree in parsed(name):
        top = set(imported(tree.body))
        assert top - set(sys.stdlib_module_names) <= MODULES
        inner = set(imported(ast.walk(tree))) - top
        assert inner - set(sys.stdlib_module_names) <= IN_WORKERS
        assert {"http", "socket"}.isdisjoint(top | inner)
        assert "airflow_provider" not in script.text
        assert "dashscope" not in script.text.lower()
        assert "quota_name" not in script.text
        asked = len([*calls(tree, "generate"), *calls(tree, "embed")])
        assert asked == len([*calls(tree, "read_odps_model")])


@every
def test_calls_of_models_are_as_the_ai_functions_want_them(name):
    for _, tree in parsed(name):
        for generate in calls(tree, "generate"):
            assert generate["running_options"] == "{'enable_thinking': False, 'enable_real_rpm_stats': True}"
            assert "messages" in generate
            assert "prompt_template" not in generate
            assert generate["simple_output"] == "False"
        for embed in calls(tree, "embed"):
            assert embed["running_options"] == "{'enable_real_rpm_stats': True}"
            assert embed["simple_output"] == "False"
            assert "dimension" not in embed
            # Several media: in params; a text: by an argument of its own.
            assert ("input" in embed) == ("params" in embed) == ("dimensions" not in embed)
        for image in calls(tree, "image"):
            keys = "{'access_key_id': OSS_ACCESS_KEY_ID, 'access_key_secret': OSS_ACCESS_KEY_SECRET}"
            assert image["type"] == "ImageContentType.BASE64" or image["storage_options"] == keys
        for mount in calls(tree, "with_fs_mount"):
            assert mount == {"storage_options": "{'role_arn': OSS_ROLE_ARN}"}
        for running in calls(tree, "with_running_options"):
            assert running["engine"] == "'dpe'"


@every
def test_rows_keep_their_status_and_the_docstring_says_what_the_table_holds(name):
    for script, tree in parsed(name):
        doc = ast.get_docstring(tree)
        if script.name.endswith("video_manifest.py"):
            assert "video_path" in doc
            continue
        for column in ("status", "error_stage", "error_msg"):
            assert f'"{column}": "string"' in script.text
            assert f"\n    {column} " in doc
        if script.name.endswith(("video_frame_extraction.py", "clip_keyframe_expansion.py")):
            assert "image_url " in doc
            assert "frame_idx " in doc
        assert all(f"\n    {setting.name} " in doc for setting in script.settings)


@every
def test_a_script_has_a_main_and_nothing_that_it_does_not_use(name):
    for script, tree in parsed(name):
        main = next(node for node in tree.body if isinstance(node, ast.FunctionDef))
        assert (main.name, [each.arg for each in main.args.args]) == ("main", ["o"])
        agent = "AlibabaCloud-Agent-Skills/alibabacloud-maxframe-video-frame-pipeline/{SKILL_SESSION_ID}"
        assert agent in script.text
        names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
        used = [node.id for node in names if isinstance(node.ctx, ast.Load)]
        defined = [n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        assigned = [ast.walk(a.targets[0]) for a in tree.body if isinstance(a, ast.Assign)]
        defined += [n.id for nodes in assigned for n in nodes if isinstance(n, ast.Name)]
        assert len(set(defined)) == len(defined)
        assert set(defined) - set(used) == set()


def test_scripts_pass_ruff(tmp_path):
    """Those of the examples are formatted too."""
    for name in USED:
        folder = tmp_path / ("varied" if name.endswith("varied") else "examples")
        folder.mkdir(exist_ok=True)
        for script in written(name):
            (folder / script.name).write_text(script.text)
    ruff = [Path(sys.executable).with_name("ruff"), "--config", ROOT / "pyproject.toml"]
    # Workers print into the job's log, and one broken video must not fail the others.
    check = [*ruff, "check", "--no-cache", "--ignore", "T20,BLE,PTH208", tmp_path]
    for command in (check, [*ruff, "format", "--no-cache", "--check", tmp_path / "examples"]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_prompt_is_sent_as_it_is():
    _, (_, tree) = parsed("driving_split, varied")
    constants = {}
    prompts = [n for n in tree.body if ast.unparse(n).startswith("LABEL_PROMPT = ")]
    exec(compile(ast.Module(prompts, []), "prompt", "exec"), constants)
    assert constants["LABEL_PROMPT"] == scenario("driving_split, varied").label_prompt


def test_a_brace_in_a_prefix_is_a_brace():
    (_, tree), _ = parsed("driving_split, varied")
    [prefix] = [job["output_prefix"] for job in calls(tree, "FrameJob")]
    folder = eval(prefix, {"partition": "ds=20261120"})
    assert folder.startswith("frames/{run} of trips/ds=20261120/")


@pytest.mark.parametrize("cap", ["max_rows", "max_calls"])
def test_a_cap_that_a_script_would_not_keep_is_refused(cap):
    values = scenario("image_labels").model_dump(exclude_unset=True)
    with pytest.raises(ConfigurationError, match=f"would not keep {cap}"):
        scripts(DrivingScenario(**values, **{cap: 5}))


def test_an_incremental_manifest_is_refused():
    values = scenario("manifest_only").model_dump(exclude_unset=True)
    with pytest.raises(ConfigurationError, match="would not keep incremental"):
        scripts(DrivingScenario(**values, incremental=True))


@pytest.mark.parametrize("name", OTHER_FAMILIES)
def test_other_families_are_refused_with_the_reason(name, tmp_path, capsys):
    assert main([str(EXAMPLES[name]), "-o", str(tmp_path)]) == 1
    assert "gather rows of several tables" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_to_set_and_replaces_only_its_own_files(tmp_path, capsys):
    arguments = [str(EXAMPLES["driving_demo"]), "-o", str(tmp_path / "new")]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "export LABEL_MODEL=qwen3-vl-plus" in said
    assert "export OSS_BUCKET=drivepipe-demo" in said
    assert main(arguments) == 0
    capsys.readouterr()
    script = tmp_path / "new" / "driving_demo_video_labeling.py"
    script.write_text("mine")
    assert main(arguments) == 1
    assert "was not written by this command" in capsys.readouterr().err
    assert script.read_text() == "mine"


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, None, True], "b": ("x",), "c": {}},
        ["word " * 60, "两个字 " * 60, 'a "quoted" \\ {brace}\n\nline'],
        {str(number): {"text": "x" * 40, "more": list(range(40))} for number in range(3)},
    ],
)
def test_literals_give_the_value_within_the_width(value):
    text = literal(value)
    assert ast.literal_eval(text) == value
    assert max(map(len, text.splitlines())) <= 110


def test_a_name_that_nobody_defines_is_an_error():
    with pytest.raises(ValueError, match="nobody defines nonsense"):
        bundle("print(nonsense)", {}, {})
