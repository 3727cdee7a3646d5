"""The card of an exported data set: what the Hub reads (YAML), then what people read."""

import json
import re
from collections.abc import Iterable, Sequence
from fractions import Fraction

from manifests.export.composition import composition
from manifests.export.names import file_name, leaf_folder, sources
from manifests.objects.manifest import Manifest
from manifests.resolve.types import Phase
from manifests.stats import Volume

_LICENCES = {
    "apache-2.0", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "cc-by-3.0", "cc-by-4.0",
    "cc-by-nc-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0",
    "cc-by-sa-4.0", "cc0-1.0", "isc", "mit", "mpl-2.0", "unlicense", "unknown", "zlib",
}  # fmt: skip
"""SPDX names, in small letters, that the Hub knows under the same name."""
_OTHER_NAMES = {
    "odc-by-1.0": "odc-by",
    "pddl-1.0": "pddl",
    "odbl-1.0": "odbl",
    "gpl-2.0-only": "gpl-2.0",
    "gpl-3.0-only": "gpl-3.0",
    "lgpl-3.0-only": "lgpl-3.0",
    "agpl-3.0-only": "agpl-3.0",
}
_TITLES = {
    "buckets": "Bucket",
    "generators": "Generator",
    "licences": "Licence",
    "languages": "Language",
    "teachers": "Teacher",
}
LARGEST = 30
"""Rows of a table of the card."""


def card(manifest: Manifest) -> str:
    """The README.md of the folder that `export_huggingface` writes."""
    made_of = composition(manifest, _TITLES)
    return "\n".join([*_front_matter(manifest, made_of), "", *_text(manifest, made_of), ""])


def _front_matter(manifest: Manifest, made_of: dict[str, dict[str, Volume]]) -> list[str]:
    root = manifest.root
    lines = ["---", f"pretty_name: {json.dumps(root.name)}"]
    lines += _yaml_list("license", sorted({hub_licence(name) for name in made_of["licences"]}))
    languages = sorted(made_of["languages"])
    lines += _yaml_list("language", [x for x in languages if re.fullmatch("[a-z]{2}", x)])
    lines += _yaml_list("size_categories", [size_category(sum(x.documents for x in root.leaves))])
    lines += _yaml_list("task_categories", ["text-generation"])
    tags = ["scriptorium", "croissant"]
    lines += _yaml_list("tags", ["synthetic", *tags] if any(made_of["teachers"]) else tags)
    lines.append("configs:")
    for source, leaves in sources(root).items():
        lines.append(f"- config_name: {json.dumps(file_name(source))}")
        lines += ["  data_files:", "  - split: train", "    path:"]
        lines += [f"    - {json.dumps(leaf_folder(leaf) + '/*.parquet')}" for leaf in leaves]
    return [*lines, "---"]


def _yaml_list(key: str, values: Sequence[str]) -> list[str]:
    """Every JSON text is one of YAML, and `no` stays Norwegian."""
    return [f"{key}:", *(f"- {json.dumps(value)}" for value in values)] if values else []


def _text(manifest: Manifest, made_of: dict[str, dict[str, Volume]]) -> list[str]:
    root = manifest.root
    first = file_name(next(iter(sources(root))))
    lines = [
        f"# {root.name}",
        "",
        "Training data made with Scriptorium, which follows the data recipe of the phi-4 technical"
        " report.",
        f"Manifest: `sha256:{manifest.digest}` (the sha256 of `manifest.json`). Tokens are those"
        f" of `{root.tokenizer.name}`.",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        f'load_dataset("path/to/this/folder", {json.dumps(first)}, split="train")',
        "```",
        "",
        "Every row has its text, the generator and seeds it comes from, its licence, its scores,"
        " and under `lineage` the teacher calls that made it. Files are named by their place and"
        " their sha256.",
        "",
        "## Sources",
        "",
        *_table(
            ("Source", "Stratum", "Shards", "Documents", "Tokens"),
            ((x.source, x.stratum, x.shards, x.documents, x.tokens) for x in root.leaves),
        ),
    ]
    for phase in root.phases:
        lines += ["", f"## Phase {phase.name}", "", *_phase(phase)]
    for kind, title in _TITLES.items():
        volumes = list(made_of[kind].items())
        rows = [(name, volume.rows, volume.tokens) for name, volume in volumes[:LARGEST]]
        if not rows:
            continue
        lines += ["", f"## {title}s", "", *_table((title, "Documents", "Tokens"), rows)]
        if len(volumes) > LARGEST:
            lines += ["", f"And {len(volumes) - LARGEST} smaller ones."]
    return lines


def _phase(phase: Phase) -> list[str]:
    samples: dict[str, int] = {}
    passes: dict[str, Fraction] = {}
    for segment in phase.segments:
        for supply in segment.supplies:
            samples[supply.leaf] = samples.get(supply.leaf, 0) + supply.quota
            epochs = Fraction(supply.quota, max(1, supply.body.samples))
            passes[supply.leaf] = passes.get(supply.leaf, Fraction(0)) + epochs
    rows = [
        (leaf, count, f"{100 * count / phase.samples:.2f}%", f"{float(passes[leaf]):.2f}")
        for leaf, count in sorted(samples.items())
    ]
    after = f", after {phase.after}" if phase.after else ""
    said = f"{phase.steps} steps, {phase.samples} samples of {phase.sequence_length} tokens{after}."
    return [said, "", *_table(("Leaf", "Samples", "Share", "Passes"), rows)]


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [_cells(head), _cells(["---"] * len(head))]
    return lines + [_cells([f"{x:,}" if isinstance(x, int) else str(x) for x in r]) for r in rows]


def _cells(cells: Sequence[str]) -> str:
    escaped = (re.sub(r"\s", " ", cell).replace("|", "\\|") for cell in cells)
    return "| " + " | ".join(escaped) + " |"


def hub_licence(spdx: str) -> str:
    """The Hub's name for a licence; `other` for one it does not know."""
    name = spdx.lower()
    return name if name in _LICENCES else _OTHER_NAMES.get(name, "other")


def size_category(documents: int) -> str:
    """The Hub's class of data sets with so many rows."""
    names = ["n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M"]
    names += ["100M<n<1B", "1B<n<10B", "10B<n<100B", "100B<n<1T"]
    for power, name in enumerate(names, start=3):
        if documents < 10**power:
            return name
    return "n>1T"
