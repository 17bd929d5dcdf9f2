"""The pages say what works: Python blocks run, command lines parse, links lead somewhere."""

import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from spikescan.cli.commands import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
of_a_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def text(page: Path) -> str:
    return COMMENT.sub("", page.read_text(encoding="utf-8"))


def blocks(page: Path, language: str) -> list[str]:
    return [content for found, content in BLOCK.findall(text(page)) if found == language]


def command_lines() -> list[str]:
    """Every ``spikescan ...`` of a block, and of code within a line."""
    found: list[str] = []
    for page in PAGES:
        found += [
            line for block in blocks(page, "bash") for line in block.splitlines() if line.startswith("spikescan ")
        ]
        found += re.findall(r"`(spikescan \w+ [^`]+)`", BLOCK.sub("", text(page)))
    return sorted(set(found))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other in one namespace, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    namespace: dict[str, Any] = {}
    for number, block in enumerate(blocks(page, "python"), start=1):
        exec(compile(block, f"{page.name}, block {number}", "exec"), namespace)


def test_the_readme_has_python_blocks() -> None:
    assert len(blocks(ROOT / "README.md", "python")) >= 3


class Parsed(Exception):  # noqa: N818 (no error: it stops a command before it does its work)
    """The arguments were understood."""


@pytest.mark.parametrize("line", command_lines())
def test_command_lines_parse(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command's own parser; nothing is run."""
    _, name, *arguments = shlex.split(line, comments=True)
    module = importlib.import_module(COMMANDS[name].module)
    real = module.parse

    def parse_only(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        raise Parsed

    monkeypatch.setattr(module, "parse", parse_only)
    with pytest.raises(Parsed):
        module.run(arguments)


@of_a_page
def test_commands_that_are_named_exist(page: Path) -> None:
    assert set(re.findall(r"`spikescan (\w+)`", text(page))) <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        COMMANDS[name].load()(["--help"])
    assert stopped.value.code == 0
    assert COMMANDS[name].summary.split()[0] in capsys.readouterr().out


@of_a_page
def test_make_targets_exist(page: Path) -> None:
    rules = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(r"^make (\w+)", "\n".join(blocks(page, "bash")), re.MULTILINE)
    assert set(named) <= set(rules)


@of_a_page
def test_links_lead_somewhere(page: Path) -> None:
    targets = [link.partition("#")[0] for link in LINK.findall(text(page)) if "://" not in link]
    missing = [target for target in targets if target and not (page.parent / target).exists()]
    assert not missing, f"{page.name} links to {missing}"
