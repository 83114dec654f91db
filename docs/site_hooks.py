"""What `make docs` does to the pages on their way into the site: drawings, and links out of it."""

from __future__ import annotations

import re
from typing import Any

from pymdownx.superfences import fence_code_format

_OUT = re.compile(r"\[([^\]]*)\]\(\.\./[^)]*\)")


def on_config(config: Any) -> Any:
    """Blocks of ``mermaid`` are drawn by the theme, with the script that the site brings."""
    drawn = {"name": "mermaid", "class": "mermaid", "format": fence_code_format}
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [drawn]
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """A link to a file of the repository beside the docs is its name: the site has no such file."""
    return _OUT.sub(r"\1", markdown)
