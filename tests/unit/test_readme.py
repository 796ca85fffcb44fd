"""What a stranger reads first: its DAG can be parsed, its links lead somewhere from everywhere."""

import re
import tomllib
from pathlib import Path

from airflow_provider_drivepipe.cli.airflow_home import find_examples
from airflow_provider_drivepipe.cli.main import main
from tests.readme import dag_by_hand

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_dag_by_hand_has_its_tasks_in_order():
    dag = dag_by_hand()
    assert [task.task_id for task in dag.topological_sort()] == ["videos", "labels"]


def test_in_the_packages_metadata_every_link_is_absolute():
    text = README
    hook = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    for each in hook["substitutions"]:
        text = re.sub(each["pattern"], each["replacement"], text)
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 20
    assert [link for link in links if not link.startswith("https://")] == []
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert pictures
    assert all("raw.githubusercontent.com" in picture for picture in pictures)


def test_pictures_are_small():
    for picture in (ROOT / "docs" / "images").iterdir():
        assert picture.stat().st_size < 200_000, picture.name


def test_examples_are_copied_whole_and_replace_nothing(tmp_path, capsys):
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"dags": "airflow_provider_drivepipe/examples"}
    folder = tmp_path / "dags"
    assert main(["examples", "copy", str(folder)]) == 0
    copied = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    examples = {path.relative_to(find_examples()) for path in find_examples().rglob("*")}
    assert copied == {path for path in examples if path.suffix in (".py", ".yaml")}
    assert str(folder / "scenarios" / "driving_demo.yaml") in capsys.readouterr().out
    assert main(["validate", str(folder / "scenarios")]) == 0

    assert main(["examples", "copy", str(folder)]) == 0, "the same files are not in the way"
    (folder / "drivepipe_scenarios.py").write_text("mine")
    (folder / "scenarios" / "frames_only.yaml").unlink()
    assert main(["examples", "copy", str(folder)]) == 1
    assert "drivepipe_scenarios.py would be replaced" in capsys.readouterr().err
    assert not (folder / "scenarios" / "frames_only.yaml").exists()
