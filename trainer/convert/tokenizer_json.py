"""Any tokenizer as a `tokenizer.json` that gives text the ids that it has in the training data.

A file of that kind is kept as it is, but for a template that puts tokens around every text: in
training data there are none. One id a byte, and encodings of tiktoken, have no such file; they are
written as a byte-level BPE. tiktoken joins the neighbours whose union has the lowest rank, so the
merges are all pairs that make up a token, in the order of the tokens' ids.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from manifests import layout
from manifests.encoders import Encoder, JsonEncoder, bpe_ranks
from manifests.encodings import read_encoding
from manifests.errors import ConfigError
from manifests.store import Store
from manifests.tokenizers import Tokenizer

_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
_PROBES = (
    "It's 1234567 o'clock, WE'LL see:\n\n\tdéjà vu  —  «naïve»   \n  end  ",
    "def f(x):\r\n    return x**2 + 3.14159  # π\n\n\nprint(f(1_000_000))\n \n",
    "中文字符 與 日本語、한국어; русский язык… عربى हिन्दी 🙂👩‍👩‍👧",
    "\ufb01 \u017f \u0130\u2028\u00a0\u0085.",
    "   ", "\n", "a\n   ", "12345 678", "''s 'S 'Ll!!!???\n\n;;\r\n",
)  # fmt: skip
"""What a regular expression may read in another way than tiktoken does."""


def tokenizer_json(tokenizer: Tokenizer, store: Store) -> bytes:
    """The file of a tokenizer that the store keeps.

    Raises:
        NotInStore: It does not.
        DataError: The file is another one, or holds no tokenizer.
        ConfigError: It is an encoding of tiktoken that cannot be written so.
    """
    encoder = tokenizer.encoder(store)  # which checks what the store keeps
    if not tokenizer.sha256:
        ranks = {bytes([number]): number for number in range(256)}
        made = _byte_level(ranks, encoder.specials, pattern=None)
    else:
        data = store.get(layout.tokenizer_file(tokenizer.sha256))
        encoding = read_encoding(data, tokenizer.name)
        if encoding is None:
            return _without_template(data)
        ranks = dict(bpe_ranks(store.get(layout.bpe_file(encoding.sha256))))
        made = _byte_level(ranks, encoding.specials, _oniguruma(encoding.pattern))
    _refuse_other_ids(made, encoder, tokenizer.name)
    return made


def _without_template(data: bytes) -> bytes:
    from tokenizers import Tokenizer as Reader

    reader: Any = Reader.from_str(data.decode())
    if not reader.encode("", add_special_tokens=True).ids:
        return data
    found = json.loads(data)
    return _dumped({**found, "post_processor": _BYTE_LEVEL if _is_byte_level(found) else None})


def _is_byte_level(found: Mapping[str, Any]) -> bool:
    return (found.get("decoder") or {}).get("type") == "ByteLevel"


def _refuse_other_ids(made: bytes, encoder: Encoder, name: str) -> None:
    ours, theirs = JsonEncoder(made).encode(_PROBES), encoder.encode(_PROBES)
    for text, mine, its in zip(_PROBES, ours, theirs, strict=True):
        if mine.tolist() != its.tolist():
            raise ConfigError(
                f"tokenizer {name}: as a tokenizer.json it gives {text[:20]!r} other ids; give a"
                " tokenizer.json of your own with --tokenizer"
            )


def _byte_level(
    ranks: Mapping[bytes, int], specials: Mapping[str, int], pattern: str | None
) -> bytes:
    letters = _letters()
    vocabulary = {_spelt(token, letters): rank for token, rank in ranks.items()}
    merges = [[_spelt(part, letters) for part in pair] for pair in _merges(ranks)]
    split = {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }
    level = {**_BYTE_LEVEL, "use_regex": False}
    added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return _dumped(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {"id": number, "content": token, **added, "special": True}
                for token, number in sorted(specials.items(), key=lambda one: one[1])
            ],
            "normalizer": None,
            "pre_tokenizer": level
            if pattern is None
            else {"type": "Sequence", "pretokenizers": [{**split}, level]},
            "post_processor": level,
            "decoder": level,
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": "",
                "end_of_word_suffix": "",
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": True,  # a piece that is a token is that token, as in tiktoken
                # Special tokens stand here, too, or they would get the next free ids.
                "vocab": {**vocabulary, **specials},
                "merges": merges,
            },
        }
    )


def _merges(ranks: Mapping[bytes, int]) -> Iterator[tuple[bytes, bytes]]:
    """All pairs of tokens that make up a token, the token with the lowest rank first."""
    for token in sorted(ranks, key=ranks.__getitem__):
        pairs = [(token[:at], token[at:]) for at in range(1, len(token))]
        found = [pair for pair in pairs if pair[0] in ranks and pair[1] in ranks]
        yield from sorted(found, key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))


def _letters() -> dict[int, str]:
    """The letter that a byte-level tokenizer writes for each byte.

    Source: GPT-2 (Radford et al. 2019), `bytes_to_unicode` of its encoder.
    """
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {
        **{byte: chr(byte) for byte in shown},
        **{byte: chr(256 + number) for number, byte in enumerate(hidden)},
    }


def _spelt(token: bytes, letters: Mapping[int, str]) -> str:
    return "".join(letters[byte] for byte in token)


def _oniguruma(pattern: str) -> str:
    """The pattern for the engine of `tokenizers`, where `{1,3}+` repeats the group and `$` is the
    end of any line; what is checked afterwards is whether all means the same.
    """
    greedy = re.sub(r"(\{\d+,\d*\})\+", r"\1", pattern)
    return re.sub(r"(?<!\\)\$", r"\\z", greedy)


def _dumped(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
