"""The help of every command has examples, and their words are options that there are."""

import shlex

import pytest
import typer.main

from sightline.cli.examples import EXAMPLES
from sightline.cli.main import COMMANDS, LAB, app_for

OPENS_ITS_OWN_OPTIONS = {
    "lab bench",
    *(f"lab evaluate {name}" for name in ("nasa", "nab", "skab", "opssat")),
}


def commands(group, words):
    if not hasattr(group, "commands"):
        yield words, group
        return
    for name, below in group.commands.items():
        yield from commands(below, f"{words} {name}")


def every_command():
    for name in COMMANDS:
        if name != "lab":
            yield from commands(typer.main.get_command(app_for([name])).commands[name], name)
    for name in LAB:
        lab = typer.main.get_command(app_for(["lab", name])).commands["lab"]
        yield from commands(lab.commands[name], f"lab {name}")


ALL = dict(every_command())


def test_there_are_examples_of_these_commands_and_no_others():
    assert set(EXAMPLES) == set(ALL)


@pytest.mark.parametrize("words", ALL)
def test_the_help_of_a_command_shows_its_examples(words):
    for line in EXAMPLES[words]:
        assert line in ALL[words].epilog


@pytest.mark.parametrize(
    ("words", "line"), [(w, one) for w, many in EXAMPLES.items() for one in many]
)
def test_an_example_can_be_typed(tmp_path, monkeypatch, words, line):
    monkeypatch.chdir(tmp_path)
    typed = shlex.split(line)
    head = ["sightline", *words.split()]
    assert typed[: len(head)] == head
    if words not in OPENS_ITS_OWN_OPTIONS:
        ALL[words].make_context(words, typed[len(head) :])  # refuses an option that is none
