"""The hash chain, computed from ``docs/log-format.md`` alone, with mcap's own reader."""

import hashlib
import json

from mcap.records import Message, Metadata
from mcap.stream_reader import StreamReader

from sightline.recorder import PartitionLog
from sightline.recorder.chain import ChainHead, LogOrigin, root_of
from sightline.recorder.storage import DirectoryStorage
from sightline.records import EntryKind

ORIGIN = LogOrigin(run_id="0123456789abcdef" * 2, manifest_digest="a" * 64, epoch=3)
ENTRIES = [
    (EntryKind.ORIGIN, "", ORIGIN.genesis("p000"), 4),
    (EntryKind.TICK, "", b"{}", 5),
    (EntryKind.DECISION, "größe", b'{"a":1}', 6),
]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def compact(plain):
    return json.dumps(plain, separators=(",", ":"), ensure_ascii=False).encode()


def write(folder):
    storage = DirectoryStorage(folder)
    log = PartitionLog.open(storage, "p000", genesis=ORIGIN.genesis("p000"), epoch=ORIGIN.epoch)
    heads = []
    for kind, name, payload, time_ns in ENTRIES:
        log.append(kind, name, payload, time_ns=time_ns)
        heads.append(log.commit().hash)
    log.close()
    return heads


def test_the_heads_are_those_that_the_page_says(tmp_path):
    heads = write(tmp_path)
    previous = "0" * 64
    expected = []
    for number, (kind, name, payload, time_ns) in enumerate(ENTRIES):
        body = {
            "previous": previous,
            "first": number,
            "last": number,
            "entries": [[str(kind), name, time_ns, sha256(payload)]],
        }
        previous = sha256(compact(body))
        expected.append(previous)
    assert heads == expected


def test_the_first_entry_is_what_the_page_says():
    plain = {"manifest": ORIGIN.manifest_digest, "partition": "p000", "run": ORIGIN.run_id}
    assert ORIGIN.genesis("p000") == compact(plain)


def test_a_segment_has_the_metadata_and_the_commits_that_the_page_says(tmp_path):
    heads = write(tmp_path)
    with (tmp_path / "log" / "p000" / "000000.mcap").open("rb") as file:
        records = list(StreamReader(file).records)
    (metadata,) = [r.metadata for r in records if isinstance(r, Metadata)]
    assert metadata == {
        "format_version": "2",
        "partition": "p000",
        "segment": "0",
        "first_sequence": "0",
        "previous_hash": "0" * 64,
        "epoch": "3",
        "pruned": "0",
    }
    messages = [r.data for r in records if isinstance(r, Message)]
    assert messages[0::2] == [payload for _, _, payload, _ in ENTRIES]
    for commit, head in zip(messages[1::2], heads, strict=True):
        plain = json.loads(commit)
        assert plain.pop("hash") == head
        assert sha256(compact(plain)) == head


def test_the_root_is_what_the_page_says():
    heads = {"p001": ChainHead(4, "b" * 64), "fan-in": ChainHead(2, "c" * 64)}
    plain = {"manifest": "a" * 64, "heads": {"fan-in": [2, "c" * 64], "p001": [4, "b" * 64]}}
    assert root_of("a" * 64, heads) == sha256(compact(plain))
