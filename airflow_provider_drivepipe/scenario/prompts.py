"""Built-in prompts for labels of driving scenes."""

from __future__ import annotations

from importlib.resources import files


def load_prompt(name: str) -> str:
    """Return the text of a built-in prompt such as ``driving-scene-en``."""
    resource = files("airflow_provider_drivepipe.scenario").joinpath("prompt_texts", f"{name}.txt")
    return resource.read_text("utf-8").strip()
