"""What a phase may tell the trainer. The resolution carries it through and makes nothing of it.

Only known facts are taken, so that a misspelt one is an error here and not a default there.
"""

from manifests.spec.form import FLAG, NUMBER, TEXT, Form, Key, Table, one_of, whole
from manifests.spec.quantities import shown

Fact = str | int | float | bool


def _bounded(words: str, low: float, high: float = float("inf")) -> Form[float]:
    """A number above `low` and at most `high`."""

    def read(value: object) -> float:
        number = NUMBER.read(value)
        if not low < number <= high:
            raise ValueError(f"{shown(value)} is not {words}")
        return number

    bound = {} if high == float("inf") else {"maximum": high}
    return Form(read, {"type": "number", "exclusiveMinimum": low, **bound})


_POSITIVE = _bounded("a number above 0", 0)
_PART = _bounded("a number above 0 and up to 1", 0, 1)


def _from_zero(value: object) -> float:
    number = NUMBER.read(value)
    if number < 0:
        raise ValueError(f"{shown(value)} is not a number from 0")
    return number


_ANY = Form(_from_zero, {"type": "number", "minimum": 0})

TRAIN: tuple[Key[Fact], ...] = (
    Key("learning_rate", _POSITIVE, "Peak learning rate."),
    Key("min_learning_rate", _ANY, "Learning rate at the end."),
    Key("schedule", one_of("linear", "cosine", "constant", "wsd"), "Decay after the warm-up."),
    Key("warmup_steps", whole(0), "Steps of linear warm-up."),
    Key("decay_steps", whole(0), "Steps of decay; for `wsd` the last ones."),
    Key("optimizer", one_of("adamw", "adam", "sgd", "muon"), "The optimizer."),
    Key("optimizer_state", one_of("keep", "reset"), "What a following phase does with it."),
    Key("weight_decay", _ANY, "Decoupled weight decay."),
    Key("beta1", _PART, "Adam's first moment."),
    Key("beta2", _PART, "Adam's second moment."),
    Key("epsilon", _POSITIVE, "Adam's epsilon."),
    Key("clip_grad", _ANY, "Largest norm of the gradient; 0 is no clipping."),
    Key("dropout", _ANY, "Dropout."),
    Key("z_loss", _ANY, "Weight of the z-loss."),
    Key("precision", one_of("bf16", "fp16", "fp32", "fp8"), "Of the computation."),
    Key("rope_base", _POSITIVE, "Base of the rotary position embedding."),
    Key("mask", one_of("document", "causal"), "`document`: no attention across documents."),
    Key("packing", one_of("none", "best_fit"), "How short samples share a window."),
    Key("glue", one_of("never", "allow"), "Whether short documents may make a long one."),
    Key("end_of_document", one_of("predict", "mask"), "Whether the token that closes is learned."),
    Key(
        "loss",
        one_of("language_model", "assistant", "dpo", "pivotal"),
        "On all tokens, on the assistant's, on pairs, on pivotal tokens.",
    ),
    Key("dpo_beta", _POSITIVE, "Beta of DPO."),
    Key("label_smoothing", _ANY, "Label smoothing."),
    Key("first_tokens", whole(1), "Of a pair's responses only so many first tokens count."),
    Key(
        "first_tokens_of",
        TEXT,
        "Source whose pairs `first_tokens` is about; * stands for anything. All without it.",
    ),
    Key("reference", TEXT, "Checkpoint of the reference model."),
    Key("chat_template", TEXT, "How turns become text."),
    Key("model_seed", whole(0), "Seed of initialisation and dropout."),
    Key("recompute", FLAG, "Recompute activations in the backward pass."),
    Key("note", TEXT, "For people."),
)


def read_facts(table: Table) -> dict[str, Fact]:
    """The facts that are there, by name."""
    return {key.name: table.need(key) for key in TRAIN if table.given([key])}
