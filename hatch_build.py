"""The page of the package on an index: README.md with links that work there, and project URLs.

The repository knows no host. Whoever publishes says where the code is:

    SIGHTLINE_PROJECT_URL  page of the repository; files are read below /blob, folders below /tree
                           and pictures below /raw, as GitHub and GitLab have them
    SIGHTLINE_RELEASE_TAG  the tag or commit they are read at; without it: v and the version

With a page, pictures and links of the README get its address. Without one a picture becomes what
it shows, in words, and a link its text: what cannot work is not there.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

PROJECT_URL = "SIGHTLINE_PROJECT_URL"
RELEASE_TAG = "SIGHTLINE_RELEASE_TAG"

_FENCE = re.compile(r"^(```.*?^```$)", re.DOTALL | re.MULTILINE)
_PLACE = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|mailto:|#)([^)\s]+)\)")


class PageOfThePackage(MetadataHookInterface):
    """Fills ``readme`` and ``urls``, which pyproject.toml leaves to be found."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Called by hatchling once it knows the version."""
        root = Path(self.root)
        url = os.environ.get(PROJECT_URL, "").rstrip("/")
        if url and not re.fullmatch(r"https://[^\s?#]+", url):
            raise ValueError(f"{PROJECT_URL}: https://HOST/…, the page of the repository: {url!r}")
        tag = os.environ.get(RELEASE_TAG) or f"v{metadata['version']}"
        text = (root / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": long_description(text, root=root, url=url, tag=tag),
        }
        metadata["urls"] = project_urls(url, tag=tag) if url else {}


def project_urls(url: str, *, tag: str) -> dict[str, str]:
    """What an index shows beside the package."""
    return {
        "Homepage": url,
        "Source": f"{url}/tree/{tag}",
        "Documentation": f"{url}/blob/{tag}/docs/index.md",
        "Changelog": f"{url}/blob/{tag}/CHANGELOG.md",
        "Issues": f"{url}/issues",
    }


def long_description(readme: str, *, root: Path, url: str, tag: str) -> str:
    """README.md as it can be read away from the repository.

    Args:
        readme: its text; what stands in blocks of code is left as it is.
        root: of the repository, to tell files from folders.
        url: page of the repository; empty: none is known.
        tag: at which files are read.
    """

    def place(found: re.Match[str]) -> str:
        is_picture, text, target = found[1] == "!", found[2], found[3]
        if not url:
            return f"*Picture: {text}.*" if is_picture else text
        path = target.partition("#")[0]
        kind = "raw" if is_picture else "tree" if (root / path).is_dir() else "blob"
        return f"{found[1]}[{text}]({url}/{kind}/{tag}/{target})"

    parts = _FENCE.split(readme)
    return "".join(part if part.startswith("```") else _PLACE.sub(place, part) for part in parts)
