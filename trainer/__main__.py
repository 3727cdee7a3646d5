"""`python -m trainer`."""

import os
import sys
import warnings
from typing import NoReturn

from manifests.errors import ConfigError
from manifests.exits import WRONG_INPUT, run
from trainer.cli import cli


def main() -> NoReturn:
    """Run the command line of this process."""
    # Megatron fuses by torch.compile, which without a GPU starts a C++ compiler for every kernel.
    os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")
    # It warns at import of everything that only GPUs have, and uses parts of PyTorch that are old.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"megatron\.")
    warnings.filterwarnings("ignore", category=FutureWarning)
    run(_quiet if os.environ.get("RANK", "0") != "0" else cli)


def _quiet() -> None:
    """As `cli`, on a rank whose input rank 0 refuses in the same words."""
    try:
        cli.main(standalone_mode=False)
    except ConfigError:
        sys.exit(WRONG_INPUT)


if __name__ == "__main__":
    main()
