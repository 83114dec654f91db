"""The house itself: imports go one way, the core stays small, files hold one idea."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "sightline"
ROOMS = {"sense", "perceive", "assess", "decide", "act"}
LEVEL = {
    "errors": 0,
    "limits": 0,
    "registry": 0,
    "records": 1,
    "recorder": 2,
    **dict.fromkeys(ROOMS, 3),
    "runtime": 4,
    "evidence": 5,
    "apps": 6,
    "cli": 7,
}
FILES = sorted(p for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE)


def imported_packages(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {n.split(".")[1] for n in names if n.startswith("sightline.")}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    own = path.relative_to(PACKAGE).parts[0]
    uphill = {other for other in imported_packages(path) - {own} if LEVEL[other] >= LEVEL[own]}
    assert not uphill


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_package_needs_neither_benchmarks_nor_tests(path):
    names = {
        name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [a.name for a in node.names]
        )
    }
    assert not {name for name in names if name.split(".")[0] in {"benchmarks", "tests"}}


def test_the_core_needs_neither_torch_nor_ray():
    text = (PACKAGE.parents[1] / "pyproject.toml").read_text()
    core = text.split("[project.optional-dependencies]")[0]
    assert "torch" not in core
    assert "ray>" not in core


def test_the_cores_read_no_clock_file_or_network():
    pure = ["core", "fan_in", "chain", "stream", "deciding", "guard", "plan", "summary"]
    forbidden = {"time", "random", "socket", "pathlib", "datetime", "os", "secrets"}
    for name in pure:
        tree = ast.parse((PACKAGE / "runtime" / f"{name}.py").read_text())
        names = {
            (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name) or ""
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        names -= {"pathlib"} if name == "plan" else set()  # load_plan reads files for the shell
        assert not names & forbidden, name
