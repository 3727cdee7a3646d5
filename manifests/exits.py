"""How a command ends: 0 when all is well, 1 when it failed, 2 when the input is wrong.

Every command line of this project runs through `run`, so that an error raised on purpose is one
line on stderr and only a bug shows a traceback.
"""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import click

from manifests.errors import ConfigError, ScriptoriumError

FAILED = 1
WRONG_INPUT = 2
INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""
BROKEN_PIPE = 141
"""128 + SIGPIPE: the reader of our output left, as in `... | head`."""


def run(command: Callable[[], object]) -> NoReturn:
    """Run a click command, or any function, and end the process as its outcome asks."""
    sys.exit(_status(command))


def _status(command: Callable[[], object]) -> int:
    try:
        _invoke(command) if isinstance(command, click.Command) else command()
        sys.stdout.flush()
    except ScriptoriumError as error:
        click.echo(f"error: {error}", err=True)
        return WRONG_INPUT if isinstance(error, ConfigError) else FAILED
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # What is left in the buffer would raise again when the interpreter flushes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return 0


def _invoke(command: click.Command) -> None:
    """As Command.main, which has exit rules of its own for Ctrl-C and for a broken pipe."""
    package = sys.modules["__main__"].__package__
    name = f"python -m {package}" if package else Path(sys.argv[0]).name
    if not package:
        _complete(command, name)
    with command.make_context(name, sys.argv[1:]) as context:
        command.invoke(context)


def _complete(command: click.Command, name: str) -> None:
    """Answer a shell that asks for completions, as Command.main does, and end."""
    variable = f"_{re.sub('[-.]', '_', name)}_COMPLETE".upper()
    if instruction := os.environ.get(variable):
        from click.shell_completion import shell_complete

        raise click.exceptions.Exit(shell_complete(command, {}, name, variable, instruction))
