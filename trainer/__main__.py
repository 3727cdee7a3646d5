"""`python -m trainer`."""

import os
import warnings
from typing import NoReturn

from manifests.exits import run
from trainer.cli import cli


def main() -> NoReturn:
    """Run the command line of this process."""
    # Megatron fuses by torch.compile, which without a GPU starts a C++ compiler for every kernel.
    os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")
    # It warns at import of everything that only GPUs have, and uses parts of PyTorch that are old.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"megatron\.")
    warnings.filterwarnings("ignore", category=FutureWarning)
    run(cli)


if __name__ == "__main__":
    main()
