"""The command for packs of prompts."""

from pathlib import Path

import pytest

from airflow_provider_drivepipe.cli.main import main
from airflow_provider_drivepipe.pipelines.reasoning.packs import BUILT_IN, LANGUAGES, STEPS, load_pack
from airflow_provider_drivepipe.pipelines.reasoning.schemas import answer_schema
from airflow_provider_drivepipe.stages.prompts import state_schema


def marks(file: Path) -> list[str]:
    lines = enumerate(file.read_text("utf-8").splitlines(), 1)
    return [f"{file}:{number}" for number, line in lines if line.startswith("FILL IN: ")]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_new_pack_has_nothing_open_but_its_marks(language, tmp_path, capsys):
    folder = tmp_path / "farm"
    assert main(["prompts", "new", "farm", "--language", language, "-o", str(folder)]) == 0
    file = folder / f"{language}.md"
    assert "- [ ]" in (folder / "CHECKLIST.md").read_text("utf-8")
    assert marks(file)
    capsys.readouterr()

    assert main(["prompts", "check", str(folder)]) == 1
    problems = capsys.readouterr().err.splitlines()
    assert [problem.partition(": ")[0] for problem in problems] == marks(file)

    file.write_text(file.read_text("utf-8").replace("FILL IN: ", ""), "utf-8")
    assert main(["prompts", "check", str(folder)]) == 0
    assert f"farm-{language} v1: 28 prompts" in capsys.readouterr().out


def test_new_goes_into_a_folder_of_its_name_and_replaces_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["prompts", "new", "farm"]) == 0
    Path("farm/en.md").write_text("mine")
    assert main(["prompts", "new", "farm"]) == 1
    assert "farm/en.md is there already" in capsys.readouterr().err
    assert Path("farm/en.md").read_text() == "mine"


@pytest.mark.parametrize("name", ["dashcam", "Farm", "../farm", ""])
def test_names_that_a_pack_cannot_have(name, tmp_path, capsys):
    assert main(["prompts", "new", name, "-o", str(tmp_path / "new")]) == 1
    assert "cannot be the name of a pack" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_check_names_the_problems_of_all_languages(tmp_path, capsys):
    (tmp_path / "en.md").write_text("version: 1\nbase: dashcam\n## filter\n{what}\n")
    (tmp_path / "zh.md").write_text("version: 1\nbase: dashcam\n## events\nFILL IN: x\n")
    assert main(["prompts", "check", str(tmp_path)]) == 1
    problems = capsys.readouterr().err
    assert f"{tmp_path}/en.md:4: there is no {{what}}" in problems
    assert f"{tmp_path}/zh.md:4: still to be filled in: x" in problems


def test_check_of_a_folder_without_a_pack(tmp_path, capsys):
    assert main(["prompts", "check", str(tmp_path)]) == 1
    assert "en.md: cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("language", LANGUAGES)
def test_show_prints_what_the_model_gets(language, capsys):
    settings = ["--set", "duration=00:20.0", "--set", "description=It has {duration} in it."]
    asked = ["prompts", "show", "traffic", "qa.mcq", "--mode", "normal", "--language", language, *settings]
    assert main(asked) == 0
    stated = state_schema(answer_schema("qa.mcq", language), language == "zh")
    prompt = load_pack("traffic", language).prompt("qa.mcq.normal").replace("{duration}", "00:20.0")
    expected = prompt.replace("{description}", "It has {duration} in it.")
    assert capsys.readouterr().out == f"{expected}\n\n{stated}\n"


def test_show_leaves_open_what_is_not_given(capsys):
    assert main(["prompts", "show", "dashcam", "chunk_caption.anomaly", "--set", "end=00:10.0"]) == 0
    assert "from {start} to 00:10.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["qa.mcq"], "give --mode anomaly or --mode normal"),
        (["qa.quiz"], "there is no key 'qa.quiz'"),
        (["filter", "--set", "description=x"], "filter has no value 'description': it has duration"),
    ],
)
def test_show_says_what_it_cannot_show(arguments, problem, capsys):
    assert main(["prompts", "show", "dashcam", *arguments]) == 1
    assert problem in capsys.readouterr().err


def test_list_names_packs_and_keys(capsys):
    assert main(["prompts", "list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in (*BUILT_IN, *STEPS))
