"""`python -m infra.teacher`: serve a teacher with vLLM, or check whether an endpoint is fit."""

import asyncio
import json
import logging
import signal
import sys
from dataclasses import asdict
from pathlib import Path

import click

from manifests.exits import run


@click.group()
@click.option("-v", "--verbose", is_flag=True, help="Log what happens, on stderr.")
def main(verbose: bool) -> None:
    """Serve a teacher with vLLM, or check whether an endpoint is fit to be one."""
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(message)s")


@main.command()
@click.option("--model", help="A directory, or a name that vLLM loads; default: the packaged one.")
@click.option("--name", help="Serve it as this name; by default the directory's or the model's.")
@click.option("--revision", help="Revision to load and to serve as; a directory's is its digest.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, help="0 takes a free one.")
@click.option("--max-model-len", type=int, help="Tokens of prompt and answer together.")
@click.option("--python", help="The Python that has vLLM [env: SCRIPTORIUM_TEACHER_PYTHON].")
@click.option("--log", type=click.Path(path_type=Path), help="Where vLLM's output goes.")
@click.option("--restarts", default=5, show_default=True, help="Deaths in a row before giving up.")
@click.argument("extra", nargs=-1, type=click.UNPROCESSED)
def serve(
    model: str | None,
    name: str | None,
    revision: str | None,
    host: str,
    port: int,
    max_model_len: int | None,
    python: str | None,
    log: Path | None,
    restarts: int,
    extra: tuple[str, ...],
) -> None:
    """Serve a model with vLLM until SIGTERM; EXTRA after `--` goes to vLLM.

    Prints `ready URL MODEL@REVISION` when it answers.
    """
    from infra.teacher.launch import Launch, split_extra
    from infra.teacher.packaged import MAX_MODEL_LEN, packaged
    from infra.teacher.serving import Serving

    if model is None:
        directory, interpreter = packaged()
        model, python = str(directory), python or str(interpreter)
        max_model_len = max_model_len or MAX_MODEL_LEN
    launch = Launch(
        model=model,
        name=name,
        revision=revision,
        host=host,
        max_model_len=max_model_len,
        python=python,
        extra=split_extra(extra),
    )
    serving = Serving(launch, port=port, log=log, restarts=restarts)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: serving.ask_to_stop())
    try:
        if serving.start():
            click.echo(f"ready {serving.url} {serving.teacher}")
            serving.wait()
    finally:
        serving.stop()


@main.command()
@click.argument("url")
@click.option("--model", help="NAME or NAME@REVISION; needed when several are served.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_context
def check(context: click.Context, url: str, model: str | None, as_json: bool) -> None:
    """Tell whether the endpoint at URL is fit to be a teacher: 0 fit, 1 unfit, 2 bad input."""
    from infra.teacher.check import Verdict, check_endpoint

    endpoint, findings = asyncio.run(check_endpoint(url, model))
    fit = all(f.verdict is not Verdict.FAIL for f in findings)
    if as_json:
        checks = [asdict(finding) for finding in findings]
        told = {"url": endpoint.url, "teacher": endpoint.teacher.name, "fit": fit}
        click.echo(json.dumps({**told, "checks": checks}))
    else:
        for f in findings:
            line = f"{f.verdict.value:4}  {f.what:11}  {f.found}"
            click.echo(f"{line}: {f.advice}" if f.advice else line)
    context.exit(0 if fit else 1)


if __name__ == "__main__":
    run(main)
