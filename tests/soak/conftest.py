"""Soak tests run for an hour or so; only a run that asks for them by `-m soak` collects them."""


def pytest_ignore_collect(collection_path, config):
    return None if config.option.markexpr == "soak" else True
