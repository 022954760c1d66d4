"""The pictures of an epoch: of a run, or of a few members of a population."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console

from jaxgen.recipes.recipe import Drawn
from jaxgen.runner import epochs, hosts
from jaxgen.runner.setup import Setup
from jaxgen.runs import directory
from jaxgen.runs.records import Record
from jaxgen.training.population import best_median_worst, spread_out


def choose_members(setup: Setup, record: Record, *, is_last: bool) -> list[int]:
    """Choose the members of a population to draw after an epoch.

    The same ones after each epoch; after the last one the best, the median and the worst as well.
    """
    num_members = setup.layout.num_members
    assert num_members is not None
    chosen = spread_out(num_members, setup.options.output.draw_members)
    if is_last:
        scores = np.array(record[setup.recipe.best], float)
        chosen = np.union1d(chosen, list(best_median_worst(scores, setup.recipe.mode)))
    return chosen.astype(int).tolist()


def make_directories(setup: Setup, run_dir: Path) -> None:
    """Create the directories of the pictures that are drawn after each epoch."""
    places, num_members = [run_dir], setup.layout.num_members
    if num_members is not None:
        chosen = spread_out(num_members, setup.options.output.draw_members)
        places = [directory.member_path(run_dir, member) for member in chosen.tolist()]
    for place in places:
        directory.samples_path(place, 0).parent.mkdir(parents=True, exist_ok=True)


def draw_epoch(
    setup: Setup,
    run_dir: Path,
    record: Record,
    draw: Callable[[int | None], Drawn],
    screen: Console,
    *,
    is_last: bool,
) -> None:
    """Draw the pictures of an epoch, and warn of what they show.

    All processes of a distributed run draw together, and one writes.
    """
    chosen = choose_members(setup, record, is_last=is_last) if setup.is_population else [None]
    for member in chosen:
        drawn = draw(member)
        if hosts.is_writer():
            save(setup, run_dir, record, drawn, member, screen)


def save(
    setup: Setup, run_dir: Path, record: Record, drawn: Drawn, member: int | None, screen: Console
) -> None:
    """Write the pictures of a run or of a member, and warn of what they show."""
    place, own, who, is_frozen = run_dir, record, "", False
    if member is not None:
        place, own = directory.member_path(run_dir, member), epochs.member_record(record, member)
        who, is_frozen = f"member {member}: ", str(member) in record["diverged"]
    directory.samples_path(place, record["epoch"]).parent.mkdir(parents=True, exist_ok=True)
    setup.task.save_pictures(place, record["epoch"], drawn)
    if not is_frozen and (trouble := setup.task.warn(own, drawn)):
        screen.print(f"collapsed: {who}{trouble}", style="yellow")
