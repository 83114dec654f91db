"""The house itself: imports go one way, and the core stays small."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "sightline"
ROOMS = {"sense", "perceive", "assess", "decide", "act"}
LEVEL = {
    "errors": 0,
    "limits": 0,
    "registry": 0,
    "late_names": 0,
    "records": 1,
    "models": 2,
    "recorder": 2,
    "brokers": 2,
    **dict.fromkeys(ROOMS, 3),
    "runtime": 4,
    "evidence": 5,
    "apps": 6,
    "console": 7,
    "cli": 8,
}
MODULES = {
    ".".join(p.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
        p.read_text()
    )
    for p in sorted(PACKAGE.rglob("*.py"))
}
"""The tree of each module, by its name inside the package."""
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


def imported_modules(tree):
    """Modules of the package that a module imports, wherever in it: an import inside a function
    only hides a circle."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [
                inner if (inner := f"{node.module}.{alias.name}")[10:] in MODULES else node.module
                for alias in node.names
            ]
        yield from {n[10:] for n in names if n.startswith("sightline.") and n[10:] in MODULES}


def test_no_modules_import_each_other_in_a_circle():
    circles = {m: set(imported_modules(tree)) - {m} for m, tree in MODULES.items()}
    # Whoever waits for nobody, or is waited for by nobody, is in no circle.
    while loose := {m for m in circles if not circles[m]} | (
        set(circles) - set().union(*circles.values())
    ):
        circles = {m: others - loose for m, others in circles.items() if m not in loose}
    assert not circles


def test_the_core_needs_neither_torch_nor_ray():
    text = (PACKAGE.parents[1] / "pyproject.toml").read_text()
    core = text.split("[project.optional-dependencies]")[0]
    assert "torch" not in core
    assert "ray>" not in core


# --- the pure core ---------------------------------------------------------------------------

PURE_ROOMS = ("records", "perceive", "assess", "decide", "sense")
SHELL = {
    # models from files
    *("perceive.detect.onnx_detector", "perceive.detect.onnx_session"),
    "perceive.inspection.inspector_model",
    # documents from files
    *("sense.yaml_form", "sense.contract", "sense.camera_files", "sense.frames.frame_contract"),
    # sources, and the threads that read them
    *("sense.source", "sense.opening", "sense.inbox", "sense.live"),
    *(
        "sense.files",
        "sense.text_files",
        "sense.json_lines",
        "sense.objects",
        "sense.broker_source",
    ),
    *("sense.frames.video_file", "sense.frames.av_video", "sense.frames.video_parts"),
    *("sense.frames.image_files", "sense.frames.live_camera", "sense.frames.mot_files"),
    "sense.frames.part_pictures",
    "sense.frames.board_pairs",
    "sense.frames.b_scans",
}
"""Modules of these rooms that may touch the world; the others are functions of their arguments."""
WORLD = {
    *("time", "random", "secrets", "uuid", "socket", "ssl", "select", "http", "urllib", "requests"),
    *("os", "sys", "pathlib", "shutil", "tempfile", "glob", "subprocess", "multiprocessing"),
    *("threading", "asyncio", "sqlite3", "sqlalchemy", "logging", "platform", "datetime"),
}


def touches_of_the_world(tree):
    """Modules that reach a clock, a file, a network or chance, and calls that do."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            is_unseeded = called.endswith("default_rng") and not (node.args or node.keywords)
            if called == "open" or is_unseeded:
                yield called
            continue
        else:
            continue
        yield from (name for name in names if name.split(".")[0] in WORLD)


ENGINE_SHELL = {
    # threads and processes of who answers late or not at all, and of partitions
    *("guarding", "isolated", "isolated_process", "exchange", "camera_inbox", "workers"),
    "ray_workers",  # the same in actors
    "steady_clock",  # looked at by several threads
    "one_thread",  # of libraries, and runs in several threads share them: a core sees to it itself
    # weights of detectors, which are files
    "answerers",
}
"""The same of the engine: all else of it, and every stage, is pure."""
PURE_RUNTIME = (
    *("runtime.engine.", "runtime.stages.", "runtime.stage", "runtime.item_stage"),
    *("runtime.kpis.plan", "runtime.kpis.compute"),
)
PURE = sorted(
    m
    for m in MODULES
    if (m.split(".")[0] in PURE_ROOMS and m not in SHELL)
    or (m.startswith(PURE_RUNTIME) and m.removeprefix("runtime.engine.") not in ENGINE_SHELL)
)


@pytest.mark.parametrize("module", PURE)
def test_below_the_shell_no_clock_file_network_or_chance(module):
    assert not set(touches_of_the_world(MODULES[module]))


def test_the_shell_is_named_module_by_module_and_none_is_gone():
    assert set(MODULES) >= SHELL | {f"runtime.engine.{name}" for name in ENGINE_SHELL}


PIPES = {"multiprocessing.Pipe", "multiprocessing.connection.Connection"}
"""All that is used of multiprocessing: bytes go through a pipe, and nothing is pickled."""


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_is_pickled(path):
    tree = ast.parse(path.read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} - {"multiprocessing"}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.add(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False
    rooms = ("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal")
    assert not {name for name in found if name.split(".")[0] in rooms}
    assert {name for name in found if name.startswith("multiprocessing")} <= PIPES
