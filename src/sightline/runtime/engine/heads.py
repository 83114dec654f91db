"""Where the logs of the key partitions ended: an entry in each commit of the fan-in.

So a key partition that was cut, or put back to an older copy, does not fit the fan-in any more.
"""

from __future__ import annotations

from collections.abc import Mapping

from sightline.errors import LogError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import Storage, read_entries
from sightline.recorder.chain import ChainHead, root_of
from sightline.recorder.walk import log_head, walk_groups
from sightline.records import EntryKind
from sightline.records.plain_json import plain_json, read_json


def heads_payload(heads: Mapping[str, ChainHead], manifest_digest: str) -> bytes:
    """The payload of a HEADS entry."""
    return plain_json(
        {
            "heads": {name: [head.sequence, head.hash] for name, head in heads.items()},
            "root": root_of(manifest_digest, heads),
        }
    )


def read_heads(payload: bytes, manifest_digest: str) -> dict[str, ChainHead]:
    """Inverse of :func:`heads_payload`.

    Raises:
        LogError: the payload cannot be read, or is of another run.
    """
    try:
        plain = read_json(payload)
        heads = {str(n): ChainHead(int(s), str(h)) for n, (s, h) in plain["heads"].items()}
        if plain["root"] != root_of(manifest_digest, heads):
            raise ValueError("a root that does not match")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LogError(
            expected="the heads of the key partitions",
            got=f"{len(payload)} bytes that cannot be read ({error})",
            where="log entry of kind heads",
            action="run `sightline verify` on the run",
        ) from error
    return heads


def newest_heads(
    storage: Storage, name: str, manifest_digest: str, *, limits: Limits = DEFAULT_LIMITS
) -> dict[str, ChainHead]:
    """What the fan-in called ``name`` noted in its last commit; nothing if it has none there.

    Raises:
        LogError: the log is damaged.
    """
    head = log_head(storage, name, limits=limits)
    if head is None or head.sequence < 0:
        return {}
    first = head.sequence
    for _, group in walk_groups(storage, name, from_sequence=head.sequence, limits=limits):
        first = group.commit.first_sequence
    found: dict[str, ChainHead] = {}
    for entry in read_entries(
        storage, name, after=first - 1, kinds={EntryKind.HEADS}, skip_pruned=True, limits=limits
    ):
        found = read_heads(entry.payload, manifest_digest)
    return found
