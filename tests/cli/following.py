"""Does what an advice of Sightline says, knowing nothing but its words and the file it names."""

import re
from pathlib import Path

WRITE = re.compile(
    r"write (?:`(?P<pair>[^`]+)`|'(?P<word>[^']+)'|(?P<plain>[\d.]+))(?P<add> in it)?"
)
PLACE = re.compile(r"(?P<file>[^,;]+\.ya?ml), line (?P<line>\d+)")


def follow(*, where, advice, got=""):
    """Edit the file that ``where`` names as ``advice`` says.

    Args:
        where: ``FILE, line N, …``.
        advice: with ``write …``.
        got: what stands there now, where the advice says only what to write instead.
    """
    place, write = PLACE.search(where), WRITE.search(advice)
    assert place, where
    assert write, advice
    path, at = Path(place["file"].strip()), int(place["line"]) - 1
    lines = path.read_text().splitlines()
    if write["add"]:
        lines[at] = with_more(lines[at], write["pair"])
    elif write["pair"]:
        lines[at] = with_value(lines[at], write["pair"])
    else:
        old = got.partition(",")[0].strip("'")
        new = write["word"] or write["plain"]
        at = next(i for i in range(at, len(lines)) if holds(lines[i], old))
        lines[at] = re.sub(rf"(?<![\w.-]){re.escape(old)}(?![\w-])", new, lines[at], count=1)
    path.write_text("\n".join(lines) + "\n")


def holds(line, word):
    return re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", line)


def with_value(line, pair):
    """``pair`` is ``key: value``: the line with that value at that key, wherever it is in it."""
    key, _, value = pair.partition(": ")
    begin = re.search(rf"\b{key}: *", line)
    if begin is None:  # the key itself is new there
        return with_more(line, pair)
    depth, end = 0, begin.end()
    while end < len(line) and not (depth == 0 and line[end] in ",}#"):
        depth += (line[end] in "[{") - (line[end] in "]}")
        end += 1
    return line[: begin.end()] + value + line[end:]


def with_more(line, pair):
    """The line with one more key in the mapping that it ends with."""
    cut = line.rindex("}")
    return f"{line[:cut]}, {pair}{line[cut:]}"
