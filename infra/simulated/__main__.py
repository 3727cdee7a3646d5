"""`python -m infra.simulated`: one simulated teacher, until SIGTERM."""

import sys
from pathlib import Path
from typing import Any

import click

from infra.simulated.settings import Settings
from manifests.errors import ConfigError

_DEFAULT = Settings()


@click.command(context_settings={"show_default": True})
@click.option("--host", default=_DEFAULT.host)
@click.option("--port", default=_DEFAULT.port, help="0 takes a free one.")
@click.option("--slots", default=_DEFAULT.slots, help="Sequences at the same time.")
@click.option("--mean-tokens", default=_DEFAULT.mean_tokens, help="Mean length of an answer.")
@click.option("--sigma", default=_DEFAULT.sigma, help="Spread of the lognormal length.")
@click.option("--seconds-per-token", default=_DEFAULT.seconds_per_token)
@click.option("--prefill-seconds-per-token", default=_DEFAULT.prefill_seconds_per_token)
@click.option("--time-scale", default=_DEFAULT.time_scale, help="Wall s per modelled s.")
@click.option("--model", default=_DEFAULT.model)
@click.option("--revision", default=_DEFAULT.revision)
@click.option("--max-model-len", default=_DEFAULT.max_model_len, help="Context, in tokens.")
@click.option("--cache-blocks", default=_DEFAULT.cache_blocks, help="KV cache; 0: ample.")
@click.option("--seed", default=_DEFAULT.seed)
@click.option("--faults", type=click.Path(path_type=Path), help="A JSON fault script.")
@click.option("--until-stdin-closes", is_flag=True, help="Stop when whoever started it is gone.")
def main(until_stdin_closes: bool, **options: Any) -> None:
    """Serve a simulated teacher: the OpenAI API with vLLM's behaviour, without a model.

    Prints `ready URL` on standard output. POST /simulated/{faults,rules,reset,control} steer
    it; GET /simulated/stats says what it did.
    """
    import uvloop

    from infra.simulated.server import serve

    try:
        uvloop.run(serve(Settings(**options), until_stdin_closes=until_stdin_closes))
    except ConfigError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main(prog_name="python -m infra.simulated")
