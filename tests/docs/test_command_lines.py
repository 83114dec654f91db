"""Command lines of the pages name commands and options that there are."""

import re
from functools import cache
from pathlib import Path

import pytest
import typer.main

from benchmarks.__main__ import app as benchmarks
from sightline.cli.main import COMMANDS, OLD_NAMES, app_for

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")])
BLOCK = re.compile(r"^```[a-z]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`sightline (.+?)`", re.DOTALL)
OPTION = re.compile(r"(?<![\w-])--?[a-zA-Z][\w-]*")
WORDS = re.compile(r"[a-z|-]+")
BENCHMARKS = typer.main.get_command(benchmarks).commands


def command_lines(text):
    """What follows ``sightline`` in the blocks and in the running text of a page."""
    for block in BLOCK.findall(text):
        # a line that is indented goes on with the one before it
        joined = re.sub(r"\\?\n +(?=[\[<-])", " ", block)
        for line in joined.splitlines():
            found = re.match(r"(?:\$ )?sightline (.+)", line)
            if found:
                yield re.split(r"\s#", found[1])[0]
    for found in INLINE.findall(BLOCK.sub("", text)):
        yield " ".join(found.split())


CASES = [
    pytest.param(line, id=f"{page.name}: {line[:60]}")
    for page in PAGES
    for line in command_lines(page.read_text(encoding="utf-8"))
]


@cache
def command(words):
    root = typer.main.get_command(app_for(words.split()))
    return root.commands[words.split()[0]]


def passes_on(found):
    """Whether its options are those of a benchmark."""
    return "ignore_unknown_options" in found.context_settings


def options_of(found):
    return {"--help", *(name for p in found.params for name in (*p.opts, *p.secondary_opts))}


@pytest.mark.parametrize("line", CASES)
def test_a_command_line_names_a_command_and_options_that_exist(line):
    names, *rest = line.split()
    if names.startswith("-"):
        assert names in {"--help", "--version", "-h"}
        return
    for name in names.split("|"):
        assert name in COMMANDS or name in OLD_NAMES
        below = list(rest)
        if name == "bench":
            continue
        if name == "lab" and below:
            inner = below.pop(0)
            if inner == "bench":  # its options are the benchmark's
                continue
            ones = [command(f"lab {one}").commands[one] for one in inner.split("|")]
        else:
            ones = [command(name)]
        while hasattr(ones[0], "commands") and below and WORDS.fullmatch(below[0]):
            ones = [ones[0].commands[one] for one in below.pop(0).split("|")]
        ones = [BENCHMARKS.get(one.name, one) if passes_on(one) else one for one in ones]
        for option in OPTION.findall(" ".join(rest)):
            assert any(option in options_of(one) for one in ones), option


def test_the_readme_lists_every_command():
    listed = {line.split()[0] for line in command_lines((ROOT / "README.md").read_text())}
    assert listed >= set(COMMANDS)
