"""`sightline live`: what it takes."""

import typer.main

from sightline.cli.main import app_for


def options(name):
    command = typer.main.get_command(app_for([name])).commands[name]
    return {parameter.name for parameter in command.params}


def test_live_takes_what_run_takes_and_is_live_without_being_told():
    assert options("live") == options("run") - {"live"}
