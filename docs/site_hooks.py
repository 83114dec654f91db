"""What `make docs` does to the pages on their way into the site: drawings, and links out of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pymdownx.superfences import fence_code_format

_OUT = re.compile(r"\[([^\]]*)\]\(\.\./[^)]*\)")


def on_config(config: Any) -> Any:
    """Draw blocks of ``mermaid``, with the script that the site brings; leave no page out."""
    placed = str(config.nav)
    more = [p.name for p in sorted(Path(config.docs_dir).glob("*.md")) if p.name not in placed]
    if more:
        config.nav.append({"More": more})
    drawn = {"name": "mermaid", "class": "mermaid", "format": fence_code_format}
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [drawn]
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """A link to a file of the repository beside the docs is its name: the site has no such file."""
    return _OUT.sub(r"\1", markdown)
