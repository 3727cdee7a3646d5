"""`python -m trainer plan`."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from manifests.cli.options import echo_json, json_option, ref_argument, root_option
from trainer.cli.options import COUNT, config_option, layout_options, phases_option

if TYPE_CHECKING:
    from trainer.model.config import Config
    from trainer.model.plan import PhasePlan

_ABOVE_ZERO = click.FloatRange(min=0, min_open=True)


@click.command()
@ref_argument
@root_option
@phases_option(default="all")
@config_option
@click.option(
    "--vocabulary",
    type=COUNT,
    metavar="N",
    help="Ids of the tokenizer, of a model that takes them from there.",
)
@click.option("--gpus", type=COUNT, required=True, metavar="N", help="In all.")
@click.option(
    "--gpu",
    default="h100",
    show_default=True,
    metavar="NAME",
    help="a100-40, a100-80, h100, h200, b200 or l40s.",
)
@click.option("--gpu-memory", type=_ABOVE_ZERO, metavar="GIB", help="Of each; else the GPU's.")
@click.option(
    "--peak-tflops", type=_ABOVE_ZERO, metavar="X", help="Of each, dense bf16; else the GPU's."
)
@click.option(
    "--mfu",
    type=click.FloatRange(min=0, max=1, min_open=True),
    default=0.4,
    show_default=True,
    metavar="X",
    help="The part of the peak that you expect to reach.",
)
@layout_options
@click.option("--micro-batch", type=COUNT, metavar="N", help="Samples of a micro batch.")
@click.option(
    "--recompute",
    type=click.Choice(["none", "selective", "full"]),
    help="Activations that are computed again; else as the phase says. `run --recompute` is full.",
)
@click.option(
    "--distributed-optimizer/--no-distributed-optimizer",
    default=True,
    help="Spread the optimizer's state over the data-parallel ranks.",
)
@click.option(
    "--transformer-engine/--no-transformer-engine",
    "packed",
    default=True,
    help="Whether it is installed there; without it attention keeps its scores.",
)
@json_option
def plan(
    ref: str,
    root: str,
    phases: str,
    config: str,
    vocabulary: int | None,
    gpu: str,
    as_json: bool,
    **asked: Any,
) -> None:
    """Tell what training phases of the manifest REF costs; write nothing.

    Steps, tokens, days, and the memory of the fullest GPU. A layout that cannot fit is refused with
    what would. What a reference model computes for pairs is not counted.
    """
    from trainer.model.config import read_config
    from trainer.model.plan import plan_phase

    told = read_config(config)
    if vocabulary is not None:
        told = replace(told, model=told.model.with_vocabulary(vocabulary))
    if told.model.vocabulary is None:
        raise click.UsageError(
            f"{told.name} takes its vocabulary from the tokenizer: give --vocabulary N"
        )
    cluster = _cluster(gpu, **asked)
    found = [plan_phase(told, phase, cluster) for phase in _phases(ref, root, phases)]
    if as_json:
        echo_json(_plain(told, found))
    else:
        click.echo("\n".join(_lines(told, found, cluster.memory)))


def _cluster(
    name: str,
    gpu_memory: float | None,
    peak_tflops: float | None,
    recompute: str | None,
    **asked: Any,
) -> Any:
    from manifests.errors import ConfigError
    from trainer.loop.flops import peak_of
    from trainer.model.config import Recompute
    from trainer.model.memory import GIB, GPUS
    from trainer.model.plan import Cluster

    if name not in GPUS:
        raise ConfigError(
            f"GPU {name!r} is not known here; write one of {', '.join(GPUS)}, with --gpu-memory and"
            " --peak-tflops where yours is another"
        )
    device, mebibytes = GPUS[name]
    peak = peak_tflops * 1e12 if peak_tflops else peak_of(device)
    if peak is None:
        raise AssertionError(f"{device} has no peak")
    return Cluster(
        memory=int(gpu_memory * GIB) if gpu_memory else mebibytes << 20,
        peak=peak,
        recompute=None if recompute is None else Recompute(recompute),
        **asked,
    )


def _phases(ref: str, root: str, names: str) -> list[Any]:
    from manifests.errors import ConfigError
    from manifests.objects.manifest import Manifest
    from manifests.objects.refs import Refs
    from manifests.store import open_store

    store = open_store(root)
    manifest = Manifest(store, Refs(store).resolve(ref).digest)
    there = {phase.name: phase for phase in manifest.root.phases}
    wanted = list(there) if names == "all" else names.split(",")
    if strange := [name for name in wanted if name not in there]:
        raise ConfigError(f"{ref} has no phase {strange[0]}; it has {', '.join(there)}")
    return [there[name] for name in wanted]


def _plain(config: "Config", found: "list[PhasePlan]") -> dict[str, object]:
    from dataclasses import asdict

    from trainer.model.parameters import parameters

    phases = [asdict(one) | {"memory_total": one.memory.total} for one in found]
    return {"config": config.name, "parameters": parameters(config.model), "phases": phases}


def _lines(config: "Config", found: "list[PhasePlan]", available: int) -> list[str]:
    from manifests.cli.text import short, table
    from trainer.model.memory import GIB
    from trainer.model.parameters import parameters

    parallel, parts = found[0].parallel, ("weights", "gradients", "optimizer", "activations")
    head = ["phase", "window", "batch", "steps", "tokens", "FLOPs", "days"]
    costs = [
        [
            one.phase,
            f"{one.sequence_length:,}",
            f"{one.global_batch:,}",
            f"{one.steps:,}",
            short(one.tokens),
            f"{one.flops:.3g}",
            f"{one.days:.3g}",
        ]
        for one in found
    ]
    memories = [
        [
            one.phase,
            f"{one.micro_batch}",
            str(one.recompute),
            *(
                f"{getattr(one.memory, part) / GIB:.1f}"
                for part in (*parts, "logits", "reserve", "total")
            ),
        ]
        for one in found
    ]
    wide = ["phase", "micro batch", "recompute", *parts, "logits", "reserve", "all"]
    return [
        f"{config.name}: {parameters(config.model):,} parameters; tensor {parallel.tensor} x"
        f" pipeline {parallel.pipeline} x data {parallel.data} = {parallel.world} GPUs",
        "",
        *table(head, costs),
        "",
        f"GiB of the fullest GPU, of {available / GIB:.1f}:",
        *table(wide, memories, left=(0, 2)),
    ]
