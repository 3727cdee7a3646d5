"""Tokenizing a shard of records, beside the bare tokenizers and datatrove's DocumentTokenizer.

Ours is a whole task: read a checked shard, encode, lay out, statistics, token file, documents file,
commit, all of it fsynced. datatrove reads the same texts from Parquet and writes its `.ds` and
index, unshuffled. The bare tokenizers encode texts that lie in memory and write nothing. Same
process, same cores, in turns; the ids of both pipelines are compared, id by id.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from loguru import logger

from benchmarks.bench_filters import corpus
from benchmarks.harness import Spread, cpu_seconds, introduce, options, table
from infra.setup.models import encoding_file, model_place
from manifests import layout
from manifests.commits import Commit as Committed
from manifests.commits import Ledger, publish, task_id
from manifests.fingerprint import content_id
from manifests.records import Bucket, Record, Reject, record_id
from manifests.shards import read_shard, write_shard
from manifests.stats import TeacherUsage, measure
from manifests.store import Store, open_store
from manifests.tables import to_table
from manifests.token_files import open_token_file
from manifests.tokenizers import Tokenizer, keep_tokenizer, tokenizer_of
from pipelines.work.outcome import commit_outcome
from pipelines.work.tokenize import Tokenize

SOURCE = "steps/bench_screened@1/" + "0" * 32
END = "<|endoftext|>"


def address(*parts: object) -> str:
    return f"steps/bench_tokens@1/{content_id(*map(str, parts))[:32]}"


def commit_texts(store: Store, texts: list[str]) -> None:
    """The texts as the records of one committed slice."""
    records = [_record(number, text) for number, text in enumerate(texts)]
    made = to_table(records, [record.id for record in records], Record)
    rejects = to_table([], cls=Reject)
    commit = Committed(
        task=task_id(SOURCE, 0),
        step=SOURCE,
        slice_index=0,
        row_type="record",
        data=write_shard(store, lambda name: layout.data_file(SOURCE, name), made),
        rejects=write_shard(store, lambda name: layout.rejects_file(SOURCE, name), rejects),
        ledger=Ledger(planned=len(records), accepted=len(records), rows=len(records)),
        stats=measure(made, rejects, TeacherUsage()),
        nonce="bench",
    )
    publish(store, commit)


def _record(number: int, text: str) -> Record:
    seed = content_id("seed", str(number))
    return Record(
        id=record_id("bench@1", seed, text),
        text=text,
        bucket=Bucket.WEB,
        generator="bench@1",
        seed_ids=(seed,),
        source="web",
        licence="PSF-2.0",
        lang="en",
    )


class Ours:
    """A task, as a run has it; every turn has a step of its own."""

    def __init__(self, store: Store, tokenizer: Tokenizer) -> None:
        self._store = store
        end = tokenizer.encoder(store).specials[END]
        self._work = Tokenize(tokenizer=tokenizer, end_of_document=end)
        self._steps = (address(tokenizer.name, turn) for turn in count())
        self.file = Path()

    def __call__(self) -> None:
        step = next(self._steps)
        commit, _ = commit_outcome(self._store, step, 0, self._work.run(self._store, [SOURCE], 0))
        self.file = Path(self._store.url) / layout.tokens_file(step, commit.tokens[0].sha256)
        rows = read_shard(self._store, layout.data_file(step, commit.data.sha256), commit.data)
        self.ends = np.cumsum(rows["tokens"].to_numpy() + 1)

    def ids(self) -> list[np.ndarray]:
        """Of each document, its end included."""
        ids = np.asarray(open_token_file(self.file)[1])
        return np.split(ids, self.ends[:-1])


class Datatrove:
    """Its reader and its tokenizer, as its examples chain them."""

    def __init__(self, folder: Path, texts: Path, tokenizer: Path) -> None:
        self._folder, self._texts, self._tokenizer = folder, texts, tokenizer

    def __call__(self) -> None:
        from datatrove.pipeline.readers import ParquetReader
        from datatrove.pipeline.tokens import DocumentTokenizer

        shutil.rmtree(self._folder, ignore_errors=True)
        reader = ParquetReader(str(self._texts), doc_progress=False)
        writer = DocumentTokenizer(
            str(self._folder), str(self._tokenizer), eos_token=END, shuffle_documents=False
        )
        writer.run(reader.run())

    def ids(self) -> list[np.ndarray]:
        """Of each document, its end included."""
        (file,) = self._folder.glob("*.ds")
        ends = np.fromfile(file.with_suffix(".ds.index"), dtype="<u8").astype(np.int64)
        return np.split(np.fromfile(file, dtype="<u2"), ends[:-1])


def bare_json(file: Path, texts: list[str]) -> Callable[[], None]:
    from tokenizers import Tokenizer as Encoder

    encoder = Encoder.from_file(str(file))

    def encode() -> None:
        for one in encoder.encode_batch_fast(texts, add_special_tokens=False):
            _ = one.ids

    return encode


def bare_tiktoken(tokenizer: Tokenizer, store: Store, texts: list[str]) -> Callable[[], None]:
    encoding = tokenizer.encoder(store)._bpe  # type: ignore[attr-defined]
    return lambda: encoding.encode_ordinary_batch(texts, num_threads=2)


def systems(
    folder: Path, texts: list[str], smol: Path
) -> dict[str, tuple[str, Callable[[], None]]]:
    """By name: the tokenizer, and what does one turn."""
    store = open_store(str(folder / "root"))
    commit_texts(store, texts)
    for file in (smol, encoding_file()):
        keep_tokenizer(store, file)
    (folder / "texts").mkdir()
    data = next((folder / "root" / SOURCE / "data").glob("*.parquet"))
    pq.write_table(pq.read_table(data, columns=["id", "text"]), folder / "texts" / "a.parquet")
    small, large = tokenizer_of(smol), tokenizer_of(encoding_file())
    return {
        "tokenizers, bare": (small.name, bare_json(smol, texts)),
        "datatrove": (small.name, Datatrove(folder / "datatrove", folder / "texts", smol)),
        "ours": (small.name, Ours(store, small)),
        "tiktoken, bare": (large.name, bare_tiktoken(large, store, texts)),
        "ours, tiktoken": (large.name, Ours(store, large)),
    }


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--megabytes", type=float, default=20.0, help="of text, UTF-8")
    given = parser.parse_args()
    smol = model_place() / "tokenizer.json"
    if not smol.is_file():
        raise SystemExit(f"no {smol}: `make setup-teacher` makes it")
    introduce("Tokenizing", ["tokenizers", "tiktoken", "datatrove", "pyarrow", "numpy"])
    logger.disable("datatrove")
    texts = corpus(given.megabytes)
    with tempfile.TemporaryDirectory() as name:
        run(Path(name), texts, smol, given.runs)


def run(folder: Path, texts: list[str], smol: Path, runs: int) -> None:
    made = systems(folder, texts, smol)
    walls: dict[str, list[float]] = {name: [] for name in made}
    cpus: dict[str, list[float]] = {name: [] for name in made}
    for turn in range(runs + 1):
        for name, (_, work) in made.items():
            wall, cpu = time.perf_counter(), cpu_seconds()
            work()
            if turn:  # the first one warms up
                walls[name].append(time.perf_counter() - wall)
                cpus[name].append(cpu_seconds() - cpu)
    ours, theirs, large = (made[name][1] for name in ("ours", "datatrove", "ours, tiktoken"))
    assert isinstance(ours, Ours)
    assert isinstance(theirs, Datatrove)
    assert isinstance(large, Ours)
    counts = dict.fromkeys(made, int(ours.ends[-1])) | dict.fromkeys(
        ["tiktoken, bare", "ours, tiktoken"], int(large.ends[-1])
    )
    bare = {
        "datatrove": "tokenizers, bare",
        "ours": "tokenizers, bare",
        "ours, tiktoken": "tiktoken, bare",
    }
    rows = []
    for name, (tokenizer, _) in made.items():
        rate = Spread(tuple(counts[name] / seconds / 1e6 for seconds in walls[name]))
        each = Spread(tuple(seconds / counts[name] * 1e6 for seconds in cpus[name]))
        base = bare.get(name)
        share = Spread(tuple(walls[base])).middle / Spread(tuple(walls[name])).middle if base else 1
        rows.append([name, tokenizer.partition("@")[0], rate.shown(), each.shown(), f"{share:.0%}"])
    table(["system", "tokenizer", "M tokens/s", "CPU s a M tokens", "of the bare one"], rows)
    spelled = [any(token in text for token in specials(smol)) for text in texts]
    other = [not np.array_equal(*both) for both in zip(ours.ids(), theirs.ids(), strict=True)]
    known = sum(a and b for a, b in zip(spelled, other, strict=True))
    print(
        f"{len(texts)} documents, {sum(other)} with other ids than datatrove's; {known} of those"
        " spell out a special token, which is text to us and the special id to datatrove"
    )


def specials(file: Path) -> list[str]:
    return [token["content"] for token in json.loads(file.read_text())["added_tokens"]]


if __name__ == "__main__":
    main()
