"""The README.md of an exported model: what the Hub reads, then what people read."""

from trainer.convert.description import Described
from trainer.convert.parts import Names, count
from trainer.loop.state import State
from trainer.model.config import ModelConfig


def card(
    state: State,
    manifest_name: str,
    config: ModelConfig,
    names: Names,
    dtype: str,
    found: Described,
) -> str:
    """The card of a checkpoint's weights.

    The licence is left to whoever publishes: it depends on the data, whose licences
    `manifest explain` counts.
    """
    share = "one matrix for embedding and output" if config.tied else "untied embeddings"
    facts = [
        ("Parameters", f"{count(config):,}, {share}"),
        ("Layers, width, feed-forward", f"{config.layers}, {config.hidden}, {config.ffn}"),
        ("Heads", f"{config.heads} of {config.head_dim}, {config.kv_heads} of keys and values"),
        ("Vocabulary", f"{config.vocabulary:,}"),
        ("Context", f"{found.sequence_length:,} tokens, rotary base {found.rope_base:g}"),
        ("Weights", f"{dtype}, names as in {names.value}"),
        ("Configuration", f"{state.model_name} (`{state.model[:12]}`)"),
    ]
    trained = [
        ("Manifest", f"{manifest_name}, `sha256:{state.manifest}`"),
        ("Phase", f"{state.phase}, objective {state.loss}"),
        ("Step", f"{state.step:,}"),
        ("Samples, tokens", f"{state.position:,}, {state.tokens:,} (padding counted)"),
        ("Order of samples", f"{state.order}"),
    ]
    if state.origin:
        before = state.origin
        trained.append(
            ("Began from", f"{before.phase or 'imported weights'}, step {before.step:,}")
        )
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "tags:",
        '- "scriptorium"',
        "---",
        f"# {manifest_name}, {state.phase}, step {state.step:,}",
        "",
        "Trained with Scriptorium, an open implementation of the data recipe of the phi-4 technical"
        " report. The manifest's digest fixes every sample that the phase trained on, and their"
        " order.",
        "",
        *_table(trained),
        "",
        "## Model",
        "",
        *_table(facts),
        "",
        "```python",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        'model = AutoModelForCausalLM.from_pretrained("path/to/this/folder")',
        'tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")',
        "```",
    ]
    return "\n".join(lines) + "\n"


def _table(rows: list[tuple[str, str]]) -> list[str]:
    return ["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)]
