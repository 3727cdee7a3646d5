"""The tokenizer's files in a Hugging Face directory, with the chat template of the report."""

import json
from pathlib import Path
from typing import Any

from trainer.convert.description import Described

END_OF_TURN = "<|im_end|>"
SEPARATOR = "<|im_sep|>"
PHI4_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '<|im_sep|>' + message['content'] + '<|im_end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}"
)
"""Nothing stands between the turns. Source: phi-4 report, section 4 [R]."""
CHATML_TEMPLATE = (
    "{% for message in messages %}"
    "{{ ('' if loop.first else '\\n') + '<|im_start|>' + message['role'] + '\\n'"
    " + message['content'] + '<|im_end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ ('\\n' if messages else '') + '<|im_start|>assistant\\n' }}"
    "{% endif %}"
)
"""Where a vocabulary has no <|im_sep|>: as conversations are tokenized then."""


def end_of_turn(file: bytes) -> int | None:
    """The id that closes a turn; None where the tokenizer in this file has no conversations."""
    found: int | None = _read(file).token_to_id(END_OF_TURN)
    return found


def write_tokenizer(folder: Path, file: bytes, found: Described) -> None:
    """Write `tokenizer.json`, which this file is, and `tokenizer_config.json`."""
    (folder / "tokenizer.json").write_bytes(file)
    reader = _read(file)
    ids = {"bos_token": found.begin, "eos_token": found.ends[0], "pad_token": found.pad}
    tokens = {name: reader.id_to_token(number) for name, number in ids.items()}
    config: dict[str, object] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": found.sequence_length,
        **{name: token for name, token in tokens.items() if token is not None},
    }
    if reader.token_to_id(END_OF_TURN) is not None:
        report = reader.token_to_id(SEPARATOR) is not None
        config["chat_template"] = PHI4_TEMPLATE if report else CHATML_TEMPLATE
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def _read(file: bytes) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_str(file.decode())
