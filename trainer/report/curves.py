"""Loss curves of a training's phases, one behind the other: in the terminal, and as a PNG."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from manifests.errors import ConfigError
from trainer.loop.lines import read_lines
from trainer.loop.metrics import FILE

Floats = npt.NDArray[np.float64]
POINTS = 400
"""Of a curve in the terminal: it has no more columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The loss of one phase, or of a held-out set in it."""

    phase: str
    name: str
    """`training`, or the held-out set and its source."""
    steps: Floats
    """Counted over the phases before it as well."""
    losses: Floats


def read_curves(out: Path) -> list[Curve]:
    """The curves of a training, its phases in the order in which they were trained.

    Raises:
        ConfigError: There is no training in this folder.
    """
    files = sorted(out.glob(f"*/{FILE}"), key=lambda path: path.stat().st_mtime)
    curves: list[Curve] = []
    before = 0.0
    for path in files:
        found = _phase(path, before)
        curves += found
        before = max((float(curve.steps[-1]) for curve in found), default=before)
    if not curves:
        raise ConfigError(f"{out}: no training in it; give the --out of `python -m trainer run`")
    return curves


def _phase(path: Path, before: float) -> list[Curve]:
    points: dict[str, list[tuple[float, float]]] = {}
    for line in read_lines(path):
        step = before + float(str(line["step"])) + 1
        if line["kind"] == "step":
            points.setdefault("training", []).append((step, float(str(line["loss"]))))
        elif line["kind"] == "evaluation":
            sources = line["sources"]
            assert isinstance(sources, dict)
            for source, part in sources.items():
                name = f"{line['set']} {source}"
                points.setdefault(name, []).append((step, float(part["loss"])))
    return [
        Curve(phase=path.parent.name, name=name, steps=_column(seen, 0), losses=_column(seen, 1))
        for name, seen in points.items()
    ]


def _column(points: Sequence[tuple[float, float]], which: int) -> Floats:
    return np.array([point[which] for point in points])


def smoothed(losses: Floats, width: int) -> Floats:
    """Means of the last `width` losses, of fewer at the beginning."""
    sums = np.cumsum(np.concatenate([[0.0], losses]))
    ends = np.arange(1, len(losses) + 1)
    starts = np.maximum(0, ends - width)
    means: Floats = (sums[ends] - sums[starts]) / (ends - starts)
    return means


def text_of(curves: Sequence[Curve], width: int = 100, height: int = 20) -> str:
    """The training curves for a terminal, which may be narrower; below, from what to what."""
    from plotext import figure, uncolorize

    told: list[str] = []
    figure.clear()
    figure.plot_size(width, height)
    for curve in curves:
        if curve.name == "training":
            every = -(-len(curve.steps) // POINTS)
            losses = smoothed(curve.losses, max(every, len(curve.losses) // 50))
            line = figure.signal(curve.steps[::every].tolist(), losses[::every].tolist())
            figure.draw(line.lines())
            told.append(f"{curve.phase} {curve.losses[0]:.2f} to {losses[-1]:.2f}")
    figure.label("step", "x")
    figure.label("loss", "y")
    return f"{uncolorize(str(figure.build())).rstrip()}\n{', '.join(told)}"


def draw(curves: Sequence[Curve], file: Path) -> None:
    """All curves, held-out sets as dots, as a PNG.

    Raises:
        ConfigError: The file cannot be written there, or its name has another ending.
    """
    if file.suffix != ".png":
        raise ConfigError(f"--png {file}: give a name that ends in .png")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    for curve in curves:
        if curve.name == "training":
            (line,) = axes.plot(curve.steps, curve.losses, alpha=0.25, linewidth=0.8)
            mean = smoothed(curve.losses, max(1, len(curve.losses) // 50))
            axes.plot(curve.steps, mean, color=line.get_color(), label=curve.phase)
        else:
            label = f"{curve.phase}: {curve.name}"
            axes.plot(curve.steps, curve.losses, "o--", markersize=4, linewidth=0.8, label=label)
    axes.set(xlabel="step", ylabel="loss, nats a token")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=120)
    except OSError as error:
        raise ConfigError(f"--png {file}: cannot be written there: {error.strerror}") from error
    finally:
        pyplot.close(figure)
