"""Experiments as YAML files, by name."""

from pathlib import Path

from spikescan.errors import InputError
from spikescan.names import choose_named

__all__ = ["find_recipe", "list_recipes"]


def list_recipes() -> list[str]:
    """The names of the recipes in this package."""
    return sorted(_files())


def find_recipe(recipe: str) -> Path:
    """The file of a recipe: a name from `list_recipes`, or the path of a YAML file of one's own.

    Raises:
        InputError: there is no such file, or no recipe of this name.
    """
    path = Path(recipe)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise InputError(f"There is no file {path}. Give a YAML file, or a name: {', '.join(list_recipes())}.")
        return path
    return choose_named("recipe", _files(), recipe)


def _files() -> dict[str, Path]:
    return {path.stem: path for path in Path(__file__).parent.glob("*.yaml")}
