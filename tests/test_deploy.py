"""Files of deployment: what they start exists, what they watch is served, schemas take them."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
import yaml

from benchmarks.servers import free_port, nats_server, own, postgres_server
from sightline.act import Ledger
from sightline.cli.main import app_for
from sightline.errors import UsageError

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


@pytest.mark.soak
def test_what_compose_starts_decides_from_nats_into_postgresql(tmp_path):
    """The commands of its services as plain processes, beside servers of the test's own."""
    services = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["services"]
    try:
        postgres, monitoring = postgres_server(), free_port()
        nats = nats_server(configuration=DEPLOY / "compose" / "nats.conf", monitoring=monitoring)
    except UsageError as error:
        pytest.skip(f"compose not followed: {error}")
    with own(postgres), own(nats):
        moved = {
            "/data": str(tmp_path),
            "nats:4222": f"127.0.0.1:{nats.port}",
            "nats:8222": f"127.0.0.1:{monitoring}",
            "${POSTGRES_PASSWORD:-only-on-this-machine}@postgres/sightline":
                f"unused@127.0.0.1:{postgres.port}/postgres",
            "//sightline:": "//postgres:",
            "${NATS_PASSWORD:-only-on-this-machine}": "secret",
            "9464": "0",
            "0.0.0.0": "127.0.0.1",
            "1x": "max",
        }  # fmt: skip

        def here(text):
            for theirs, ours in moved.items():
                text = text.replace(theirs, ours)
            return text

        for name in ("doctor", "constellation", "publish-telemetry", "publish-logs", "gateway"):
            told = services[name].get("environment", {})
            done = subprocess.run(
                [sys.executable, "-c", "from sightline.cli import main; main()",
                 *(here(str(word)) for word in services[name]["command"])],
                env={**os.environ, **{key: here(value) for key, value in told.items()}},
                capture_output=True, text=True, check=False, timeout=300,
            )  # fmt: skip
            assert done.returncode == 0, (name, done.stdout, done.stderr)
        url = f"postgresql://postgres@127.0.0.1:{postgres.port}/postgres"
        with Ledger.open(url, create=False) as ledger:
            assert {one.kind for one in ledger.decisions()} >= {"link_silence", "station_fault"}


@pytest.mark.soak
def test_terraform_takes_the_module(tmp_path):
    if shutil.which("terraform") is None:
        pytest.skip("Terraform module not validated: no terraform")
    module = shutil.copytree(DEPLOY / "terraform", tmp_path / "module")

    def terraform(*words):
        return subprocess.run(["terraform", f"-chdir={module}", *words, "-no-color"],
                              capture_output=True, text=True, check=False, timeout=300)  # fmt: skip

    assert not terraform("fmt", "-check").stdout
    begun = terraform("init", "-backend=false", "-input=false")
    if begun.returncode:
        pytest.skip(f"Terraform module not validated: no provider ({begun.stderr[:200]})")
    done = terraform("validate")
    assert done.returncode == 0, done.stdout + done.stderr


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
