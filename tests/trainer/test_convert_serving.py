"""The real vLLM on an exported directory."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from infra.setup.environments import place
from infra.teacher.launch import Launch
from infra.teacher.serving import Serving
from tests.trainer.convert_world import VOCABULARY, describe, publish
from trainer.convert.parts import Names

pytestmark = [pytest.mark.teacher, pytest.mark.timeout(1200)]

PYTHON = place("teacher") / "bin" / "python"
NEW = 24
MODEL = """\
[model]
layers = 2
hidden = 64
ffn = 96
heads = 4
kv_heads = 2
head_dim = 32
precision = "fp32"
"""


def exported(folder: Path) -> Path:
    """A model with random weights, imported and exported again."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from trainer.convert.export import export_checkpoint
    from trainer.convert.importing import import_model

    torch.manual_seed(3)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "head_dim": 32}
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
        rms_norm_eps=1e-5,
        **sizes,
    )
    LlamaForCausalLM(config).save_pretrained(folder / "random")
    file = folder / "served.toml"
    file.write_text(MODEL)
    import_model(folder / "random", folder / "checkpoint", config=str(file))
    root = folder / "root"
    root.mkdir()
    describe(folder / "checkpoint", file, publish(root))
    out = folder / "exported"
    export_checkpoint(
        folder / "checkpoint", out, root=str(root), names=Names.PHI3, config=str(file)
    )
    return out


def ask(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{url}/v1/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=300) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


@pytest.mark.skipif(
    not PYTHON.is_file(), reason="no CPU teacher here: make setup-teacher builds it"
)
def test_vllm_and_transformers_go_on_alike(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = exported(tmp_path)
    prompt = "Once upon a time, é"
    ids = list(prompt.encode())
    loaded = AutoModelForCausalLM.from_pretrained(model)
    with torch.no_grad():
        whole = loaded.generate(
            torch.tensor([ids]), do_sample=False, max_new_tokens=NEW, min_new_tokens=NEW
        )
    with Serving(Launch(model=str(model), python=str(PYTHON))) as serving:
        asked = {
            "model": serving.teacher.model,
            "prompt": prompt,
            "max_tokens": NEW,
            "min_tokens": NEW,
            "temperature": 0,
            "return_token_ids": True,
        }
        answer = ask(serving.url, asked)
    assert answer["usage"]["prompt_tokens"] == len(ids)
    found = answer["choices"][0]["token_ids"]
    assert len(set(found)) > NEW // 3, "a loop of few tokens shows little"
    assert found == whole[0, len(ids) :].tolist()
