"""How full whole systems keep their teacher, what a call costs them, and what a crash costs.

Ours, with everything durable switched on, beside a bare asyncio client, datatrove's
InferenceRunner, Ray Data and NVIDIA Data Designer, each a program of its own on one core, against
simulated teachers on the other. Scenarios: A overhead, B saturation, C crash, D draft, critique and
votes, E a bad hour, F fan-out over replicas with prefix caches.
"""

from collections.abc import Mapping, Sequence

from benchmarks.harness import introduce, options
from benchmarks.teacher.measure import Failed, Run, Stage, stage
from benchmarks.teacher.report import report, report_idle, spread
from benchmarks.teacher.scenarios import SCENARIOS, Scenario
from benchmarks.teacher.systems import ENVIRONMENT, SYSTEMS, System


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--scenarios", default="A,B,C,D,E,F", help="letters, or B64, D256")
    parser.add_argument("--systems", default=",".join(system.name for system in SYSTEMS))
    parser.add_argument("--scale", type=float, default=1.0, help="of calls and kills")
    parser.add_argument("--peers", default="", help="the Python that has the peers' packages")
    given = parser.parse_args()
    introduce("Whole systems and their teacher", ["aiohttp", "uvloop", "ray", "datatrove"])
    systems = present(given.systems.split(","), given.peers)
    shares: dict[str, Mapping[str, float]] = {}
    for scenario in SCENARIOS:
        if {scenario.letter, scenario.letter[0]}.isdisjoint(given.scenarios.split(",")):
            continue
        with stage(scenario, given.scale) as there:
            print(f"\n{scenario.letter}: {scenario.about}; {there.items} passages, ", end="")
            print(f"{there.calls} calls, {scenario.in_flight} passages at once", flush=True)
            taking = [system for system in systems if system.takes_part(scenario)]
            found, failed = measured(there, taking, given.peers, given.runs)
        report(scenario.letter, found, failed)
        shares |= our_shares(scenario, found)
    if shares:
        print("\nOur slot-seconds, percent, from the first call to the last answer:")
        report_idle(shares)


def present(names: Sequence[str], python: str) -> list[System]:
    """The systems asked for, but for those whose packages are not there."""
    asked = [system for system in SYSTEMS if system.name in names]
    there = [s for s in asked if not s.imports or (python and not s.missing(python))]
    for system in asked:
        if system not in there:
            print(f"left out: {system.title}; --peers PYTHON wants {system.imports}")
    if len(there) < len(asked):
        print(f"  {ENVIRONMENT}")
    return there


def measured(
    there: Stage, systems: Sequence[System], python: str, runs: int
) -> tuple[dict[System, list[Run]], dict[System, str]]:
    """Every system, in turns; one that failed has no further turn."""
    found: dict[System, list[Run]] = {system: [] for system in systems}
    failed: dict[System, str] = {}
    for number in range(runs):
        for system in systems:
            if system in failed:
                continue
            try:
                found[system].append(there.run(system, python, seed=number))
            except Failed as why:
                failed[system] = str(why)
    return {system: ended for system, ended in found.items() if ended}, failed


def our_shares(
    scenario: Scenario, found: Mapping[System, Sequence[Run]]
) -> dict[str, Mapping[str, float]]:
    """Of the run of ours in the middle."""
    for system, runs in found.items():
        if system.name == "ours":
            middle = spread(runs, "seconds").middle
            run = min(runs, key=lambda run: abs(run.seconds - middle))
            return {scenario.letter: run.idle} if run.idle else {}
    return {}


if __name__ == "__main__":
    main()
