"""What a package index shows: the README with pictures and links that are there, project URLs."""

import email
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import readme_renderer.markdown

ROOT = Path(__file__).parents[2]
URL = "https://forge.example/plant/sightline"
TAG = "v9"
BELOW = re.compile(rf"{re.escape(URL)}/(blob|tree|raw)/{TAG}/([^)#\s]+)")


def hatchling(*words, folder=ROOT, url="", tag=""):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SIGHTLINE_")}
    if url:
        environment |= {"SIGHTLINE_PROJECT_URL": url, "SIGHTLINE_RELEASE_TAG": tag}
    return subprocess.run(
        [sys.executable, "-m", "hatchling", *map(str, words)],
        cwd=folder, env=environment, check=False, capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def with_url():
    return json.loads(hatchling("metadata", url=URL, tag=TAG).stdout)


@pytest.fixture(scope="module")
def without_url():
    return json.loads(hatchling("metadata").stdout)


def outside_code(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def targets(metadata):
    return re.findall(r"\]\(([^)]+)\)", outside_code(metadata["readme"]["text"]))


def rendered(metadata):
    html = readme_renderer.markdown.render(metadata["readme"]["text"])
    assert html is not None
    return html


def test_every_picture_and_link_of_the_description_is_a_file_of_the_repository(with_url):
    for target in targets(with_url):
        kind, path = BELOW.fullmatch(target.partition("#")[0]).groups()
        assert (ROOT / path).is_dir() if kind == "tree" else (ROOT / path).is_file(), target


def test_as_many_pictures_as_in_the_readme_are_shown_from_there(with_url):
    readme = (ROOT / "README.md").read_text()
    shown = re.findall(r'<img[^>]* src="([^"]+)"', rendered(with_url))
    assert len(shown) == len(re.findall(r"^!\[", readme, re.MULTILINE)) > 0
    assert all(BELOW.fullmatch(source)[1] == "raw" for source in shown)


def test_project_urls_are_below_the_page_that_was_given(with_url):
    files = f"{URL}/blob/{TAG}"
    assert with_url["urls"] == {
        "Homepage": URL,
        "Source": f"{URL}/tree/{TAG}",
        "Documentation": f"{files}/docs/index.md",
        "Changelog": f"{files}/CHANGELOG.md",
        "Issues": f"{URL}/issues",
    }
    assert (ROOT / "docs/index.md").is_file()
    assert (ROOT / "CHANGELOG.md").is_file()


def test_without_a_page_there_is_no_picture_and_no_link_that_cannot_work(without_url):
    html = rendered(without_url)
    assert "<img" not in html
    assert [target for target in targets(without_url) if "://" not in target] == []
    assert "urls" not in without_url


def test_without_a_page_what_a_picture_shows_is_said(without_url):
    assert "Picture: An explained alert" in rendered(without_url)


def test_blocks_of_code_are_left_as_they_are(with_url, without_url):
    blocks = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
    readme = blocks.findall((ROOT / "README.md").read_text())
    assert blocks.findall(with_url["readme"]["text"]) == readme
    assert blocks.findall(without_url["readme"]["text"]) == readme


def test_an_address_that_is_no_page_is_refused():
    done = hatchling("metadata", url="forge.example/plant", tag=TAG)
    assert done.returncode
    assert "SIGHTLINE_PROJECT_URL: https://HOST/…" in done.stderr


def test_a_wheel_that_is_built_from_the_sdist_says_what_the_sdist_says(tmp_path):
    built = hatchling("build", "-t", "sdist", "-d", tmp_path, url=URL, tag=TAG)
    assert not built.returncode, built.stderr
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / sdist.name.removesuffix(".tar.gz")
    built = hatchling("build", "-t", "wheel", "-d", tmp_path, folder=folder)
    assert not built.returncode, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("/METADATA"))
        said = email.message_from_file(io.TextIOWrapper(archive.open(name), "utf-8"))
    assert (
        said.as_string() == email.message_from_string((folder / "PKG-INFO").read_text()).as_string()
    )
    assert f"{URL}/raw/{TAG}/docs/pictures/alert.svg" in said.get_payload()


@pytest.fixture
def tree(tmp_path):
    """A repository with the Makefile, of which all is committed."""
    for name in ("Makefile", "src/sightline/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "first")
    return tmp_path


def git(folder, *words):
    subprocess.run(["git", *words], cwd=folder, check=True)


def refusal(tree, *words):
    done = subprocess.run(
        ["make", "release-ready", *words], cwd=tree, check=False, capture_output=True, text=True
    )
    assert done.returncode
    return done.stdout


def test_a_release_without_a_page_is_refused(tree):
    assert "give PROJECT_URL=" in refusal(tree)


def test_a_release_of_what_is_not_committed_is_refused(tree):
    (tree / "new.py").write_text("")
    assert "commit what has changed" in refusal(tree, f"PROJECT_URL={URL}")


def test_a_release_whose_links_are_to_another_commit_is_refused(tree):
    said = refusal(tree, f"PROJECT_URL={URL}")
    git(tree, *re.search(r"git (tag \S+),", said)[1].split())
    done = subprocess.run(["make", "release-ready", f"PROJECT_URL={URL}"], cwd=tree, check=False)
    assert done.returncode == 0
