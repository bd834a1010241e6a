"""Runs one trial by its name, or lists all trials: `make trial NAME=soak ARGS="--seed 2"`.

Exits with the trial's own status, or with status 2 if the name is unknown or a required program is missing.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence

from tests.trials.registry import ROOT, TRIALS, Requirement, Trial, environment

USAGE_ERROR = 2


def main(arguments: Sequence[str], trials: Mapping[str, Trial] = TRIALS) -> int:
    """Run the trial that `arguments` names, with the further arguments; list all trials if there are none."""
    if not arguments:
        print(listing(trials))
        return 0
    name, *further = arguments
    if name not in trials:
        print(f"There is no trial {name!r}. The trials are:\n{listing(trials)}", file=sys.stderr)
        return USAGE_ERROR
    if missing := missing_requirements(trials[name]):
        for requirement in missing:
            print(explanation(name, requirement), file=sys.stderr)
        return USAGE_ERROR
    command = [*trials[name].command, *further]
    return subprocess.run(command, cwd=ROOT, env=environment(), check=False).returncode


def listing(trials: Mapping[str, Trial]) -> str:
    """Return one line for each trial: name, minutes, summary and the Debian packages that it needs."""
    lines = []
    for name, trial in trials.items():
        packages = " ".join(requirement.package for requirement in trial.requirements)
        needs = f" [needs {packages}]" if packages else ""
        lines.append(f"  {name:<16} {trial.minutes:>2} min  {trial.summary}{needs}")
    return "\n".join(lines)


def missing_requirements(trial: Trial) -> list[Requirement]:
    """Return the requirements that the machine does not meet."""
    return [requirement for requirement in trial.requirements if not requirement.is_met()]


def explanation(name: str, requirement: Requirement) -> str:
    """Return what is missing, and how to install it on Debian."""
    problem = (
        f"`{' '.join(requirement.probe)}` fails"
        if requirement.probe
        else f"{requirement.program} is not installed"
    )
    start = " and start its server" if requirement.probe[1:] == ("info",) else ""
    return (
        f"Trial {name}: {problem}. Install the Debian package {requirement.package} "
        f"(apt-get install {requirement.package}){start}."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
