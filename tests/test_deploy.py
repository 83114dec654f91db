"""Files of deployment: what they start exists, what they watch is served, schemas take them."""

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer.main
import yaml

from sightline.cli.main import app_for

DEPLOY = Path(__file__).parents[1] / "deploy"
OVERLAYS = sorted(path.name for path in (DEPLOY / "kubernetes" / "overlays").iterdir())
NAME = re.compile(r"sightline_[a-z_]+")


def generator():
    spec = importlib.util.spec_from_file_location("generate", DEPLOY / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def built(overlay):
    if shutil.which("kubectl") is None:
        pytest.skip("manifests not built: no kubectl")
    folder = DEPLOY / "kubernetes" / "overlays" / overlay
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def containers(resource):
    spec = resource.get("spec", {})
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    return spec.get("template", {}).get("spec", {}).get("containers", [])


def command_line(words):
    """Check that a command line names a command and options that there are."""
    root = typer.main.get_command(app_for(words))
    options = {o for p in root.commands[words[0]].params for o in (*p.opts, *p.secondary_opts)}
    assert {word for word in words[1:] if word.startswith("--")} <= options


def test_rules_and_dashboard_are_what_the_metrics_make_them():
    made = generator()
    assert made.RULES.read_text(encoding="utf-8") == made.rules()
    assert made.DASHBOARD.read_text(encoding="utf-8") == made.dashboard()


def test_rules_and_panels_name_only_metrics_that_are_served_and_all_of_them():
    made = generator()
    served = {metric.name for metric in made.metrics()}
    rules = {name for one in made.ALERTS for name in NAME.findall(one[1])}
    panels = json.loads(made.dashboard())["panels"]
    shown = {name for p in panels for t in p["targets"] for name in NAME.findall(t["expr"])}
    plain = re.compile(r"_(total|bucket)$")
    assert {plain.sub("", name) for name in rules} <= served
    assert {plain.sub("", name) for name in shown} == served


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_manifests_are_what_kubernetes_takes(overlay):
    validator = pytest.importorskip("kubernetes_validate", reason="no kubernetes-validate")
    for resource in built(overlay):
        validator.validate(resource, "1.31", strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_containers_have_no_root_no_writable_root_and_bounds(overlay):
    found = [one for resource in built(overlay) for one in containers(resource)]
    assert found
    for one in found:
        assert one["securityContext"]["readOnlyRootFilesystem"]
        assert not one["securityContext"]["allowPrivilegeEscalation"]
        assert one["resources"]["limits"]["memory"]
        assert "password" not in " ".join(one.get("args", []))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_containers_start_commands_that_there_are(overlay):
    for resource in built(overlay):
        for one in containers(resource):
            words = one["args"]
            if "command" in one:  # a shell with one line
                line = re.sub(r"\$\(.*?\)", "", words[0])
                words = shlex.split(line)[2:]
            command_line(words)


def test_the_canary_shares_no_name_and_no_selector_with_what_runs_beside_it():
    def selectors(overlay):
        for resource in built(overlay):
            if resource["kind"] in ("StatefulSet", "PodDisruptionBudget"):
                yield resource["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]
            if resource["kind"] == "Service":
                yield resource["spec"]["selector"]["app.kubernetes.io/component"]

    names = [{(r["kind"], r["metadata"]["name"]) for r in built(o)} for o in ("prod", "canary")]
    assert not names[0] & names[1]
    assert not set(selectors("prod")) & set(selectors("canary"))


def test_compose_starts_commands_that_there_are_and_opens_ports_to_this_machine_alone():
    services = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["services"]
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        if service["image"].startswith("sightline"):
            assert service["read_only"]
            command_line([str(word) for word in service["command"]])


def test_files_that_compose_mounts_are_there():
    services = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["services"]
    mounted = [v.split(":")[0] for s in services.values() for v in s.get("volumes", [])]
    files = [name for name in mounted if name.startswith(".")]
    assert len(files) >= 5
    assert all((DEPLOY / "compose" / name).exists() for name in files)


def test_the_image_runs_as_a_user_of_its_own_and_says_whether_it_is_well():
    last = (DEPLOY / "Dockerfile").read_text().split("\nFROM ")[-1]
    assert "\nUSER 10001:10001\n" in last
    assert "\nHEALTHCHECK " in last
    assert "/healthz" in last


def test_nats_acknowledges_what_is_on_the_disk():
    assert "sync_interval: always" in (DEPLOY / "compose" / "nats.conf").read_text()
