"""What a scenario file becomes is made once for each content, never taken from what is stale or damaged."""

import pickle
from multiprocessing import get_context
from pathlib import Path

import pytest

from airflow_provider_drivepipe.factory import compiled
from airflow_provider_drivepipe.factory.compiled import compile_file, compile_scenario
from airflow_provider_drivepipe.pipelines.loading import ScenarioError, load_scenario, scenario_files

EXAMPLES = scenario_files(Path(__file__).parents[2] / "dags" / "scenarios")
GOOD = """
scenario_name: night
input_shape: oss_prefix
targets: [manifest, frame-extraction, labeling]
oss_bucket: my-bucket
video_input_table: night_manifest
output_table: night_labels
vlm_model: some-model
label_prompt: file:prompt.txt
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    return tmp_path / "drivepipe_plans"


@pytest.fixture
def file(tmp_path):
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios/prompt.txt").write_text("Say what you see.")
    path = tmp_path / "scenarios/night.yaml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def made(monkeypatch):
    """Names of the scenarios that were compiled, in order."""
    names = []

    def compile_and_count(scenario):
        names.append(scenario.scenario_name)
        return compile_scenario(scenario)

    monkeypatch.setattr(compiled, "compile_scenario", compile_and_count)
    return names


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_what_is_kept_is_what_was_made(home, made, example):
    first = compile_file(example)
    assert compile_file(example) == first == compile_scenario(load_scenario(example))
    assert len(made) == len(list(home.iterdir())) == 1
    assert first.doc.startswith(f"# {example.stem}\n")


@pytest.mark.parametrize("changed", ["night.yaml", "defaults.yaml", "prompt.txt"])
def test_a_change_of_any_file_is_seen(home, file, made, changed):
    before = compile_file(file)
    path = file.parent / changed
    path.write_text((path.read_text() if path.is_file() else "owner: team") + "\n\n")
    after = compile_file(file)
    assert (after != before) == (changed != "night.yaml")
    assert compile_file(file) == after
    assert (len(made), len(list(home.iterdir()))) == (2, 1)


def test_a_file_that_is_gone_is_missed(home, file):
    compile_file(file)
    (file.parent / "prompt.txt").unlink()
    with pytest.raises(ScenarioError, match=r"prompt\.txt: no such file"):
        compile_file(file)


def test_other_code_makes_it_anew(home, file, made, monkeypatch):
    compile_file(file)
    monkeypatch.setattr(compiled, "_code", lambda: b"another version")
    compile_file(file)
    assert len(made) == 2


@pytest.mark.parametrize("damage", ["empty", "torn", "flipped", "not ours", "no folder"])
def test_what_cannot_be_trusted_or_kept_is_made_anew(home, file, made, monkeypatch, damage):
    first = compile_file(file)
    [entry] = home.iterdir()
    content = entry.read_bytes()
    if damage == "not ours":
        monkeypatch.setattr(compiled.os, "getuid", lambda: -1)
    elif damage == "no folder":
        entry.unlink()
        home.rmdir()
        home.write_text("not a folder")
    else:
        entry.write_bytes({"empty": b"", "torn": content[:-9], "flipped": content[:-1] + b"!"}[damage])
    monkeypatch.setattr(compiled.pickle, "loads", lambda _: pytest.fail("read what is damaged"))
    assert compile_file(file) == first
    assert len(made) == 2
    monkeypatch.undo()


def _write_and_read(home, path, times):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", home)
        for n in range(times):
            patch.setattr(compiled, "_code", lambda n=n: str(n % 2).encode())
            assert compile_file(path).scenario.scenario_name == "night"


def test_two_writers_do_not_harm_each_other(home, file):
    """Each overwrites what the other has just written."""
    processes = [
        get_context("fork").Process(target=_write_and_read, args=(str(home.parent), file, 50)) for _ in "ab"
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    [entry] = home.iterdir()
    loaded, _ = pickle.loads(entry.read_bytes()[64:])
    assert loaded.scenario == load_scenario(file)
