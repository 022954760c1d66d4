"""What a report shows of a run: everything in its directory that can be read."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float
from rich.console import Console

from jaxgen.errors import InputError
from jaxgen.recipes.recipe import Recipe
from jaxgen.runner import recorded
from jaxgen.runner.epochs import best_epoch, member_record
from jaxgen.runner.evaluation import load_same_data
from jaxgen.runner.evaluation_options import EvaluationOptions
from jaxgen.runner.load import Run, load_run
from jaxgen.runner.recorded import Recorded
from jaxgen.runner.sweep import num_members
from jaxgen.runs import directory, environment, records
from jaxgen.runs.records import Record
from jaxgen.training.population import ranking
from jaxgen.types import Batch, JsonObject

T = TypeVar("T")


class Contents(NamedTuple):
    """The contents of a run directory."""

    path: Path
    recorded: Recorded
    records: list[Record]
    starts: list[dict[str, object]]
    evaluation: JsonObject
    run: Run | None
    """At its latest checkpoint."""
    test: Batch | None
    problems: list[str]
    """What is missing or damaged, and why."""

    @property
    def name(self) -> str:
        """The name of the directory."""
        return self.path.resolve().name

    @property
    def num_members(self) -> int | None:
        """The size of a population; None for a single run."""
        return num_members(self.recorded.options)

    @property
    def best_epoch(self) -> int | None:
        """The epoch with the best score."""
        recipe = self.recorded.recipe
        return best_epoch(self.records, recipe.best, recipe.mode)

    @property
    def best_member(self) -> int | None:
        """The member of a population with the best score in its last record."""
        return self.records[-1].get("best_member") if self.records else None

    @property
    def scores(self) -> Float[np.ndarray, "*members"]:
        """The metric that selects the best checkpoint, in the last record."""
        return np.array(self.records[-1][self.recorded.recipe.best], float)

    @property
    def drawn_members(self) -> list[int]:
        """The members of a population that have samples of the last epoch, in order."""
        if not self.records:
            return []
        epoch, path = self.records[-1]["epoch"], self.path
        return [
            member
            for member in directory.drawn_members(path)
            if directory.samples_path(directory.member_path(path, member), epoch).exists()
        ]

    @property
    def best_drawn(self) -> tuple[int, str]:
        """The best member that has samples of the last epoch, and what to call it.

        After the last epoch, that is the best of all.
        """
        drawn, best = self.drawn_members, self.best_member or 0
        if best in drawn or not drawn:
            return best, f"member {best} (best)"
        ranked = ranking(self.scores, self.recorded.recipe.mode).tolist()
        member = next((member for member in ranked if member in drawn), drawn[0])
        return member, f"member {member} (best of those drawn)"

    def member_record(self, member: int) -> Record:
        """The last record of a member of a population as that of a single run."""
        return member_record(self.records[-1], member)


def read(run_dir: Path, recipe: Recipe | None = None) -> Contents:
    """Read the records of a run.

    Raises InputError if the directory is not a run of the recipe, or of any that is registered.
    Everything else may be missing or damaged, and then is among the problems.
    """
    problems: list[str] = []
    own = recorded.read(run_dir, recipe)
    best = own.recipe.best
    metrics = attempt(problems, "The curves", lambda: _read_metrics(run_dir, best, problems)) or []
    starts = attempt(problems, "The environment", lambda: environment.read_starts(run_dir)) or []
    evaluation = attempt(problems, "The evaluation", lambda: _read_evaluation(run_dir)) or {}
    return Contents(run_dir, own, metrics, starts, evaluation, None, None, problems)


def with_model(contents: Contents, data: EvaluationOptions, screen: Console) -> Contents:
    """Add the model and, if the data set of the run is available, the test images."""
    problems, recipe = contents.problems, contents.recorded.recipe
    run = attempt(problems, "The latent space", lambda: load_run(contents.path, recipe=recipe))
    if run is None:
        return contents
    sets = attempt(problems, "Pictures of test images", lambda: load_same_data(run, data, screen))
    return contents._replace(run=run, test=None if sets is None else sets.test)


def attempt(problems: list[str], what: str, make: Callable[[], T]) -> T | None:
    """Make a part of the report; if that fails, add the reason to the problems.

    Files may be damaged in any way, and the functions of a user's own recipe may do anything.
    """
    try:
        return make()
    except InputError as error:
        problems.append(f"{what}: {error}")
    except Exception as error:
        problems.append(f"{what}: {type(error).__name__}: {error}")
    return None


def commands(starts: list[dict[str, object]]) -> list[str]:
    """List the commands that started and continued a run, without paths on this machine."""
    return [records.without_directories(start["command"]) for start in starts]


def _read_metrics(run_dir: Path, best: str, problems: list[str]) -> list[Record]:
    found, damaged = records.intact_metrics(run_dir)
    problems += damaged
    problems += [f"Epoch {line['epoch']}: it has no {best}." for line in found if best not in line]
    return [line for line in found if best in line]


def _read_evaluation(run_dir: Path) -> JsonObject:
    is_evaluated = directory.evaluation_path(run_dir).exists()
    return records.read_evaluation(run_dir) if is_evaluated else {}
