"""The table of a population's members at the end of its run."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from rich.table import Table

from jaxgen.runner.options import Options
from jaxgen.runner.sweep import differences, members, settings
from jaxgen.runs.records import Record
from jaxgen.training.population import NUM_SHOWN, ranking, spread_out, summarize
from jaxgen.types import Mode


def members_table(record: Record, options: Options, metric: str, mode: Mode) -> Table:
    """Tabulate the results of the members, the best one in bold.

    Further rows hold mean and standard deviation over the seeds of each setting of the sweep. Of
    more than 16 members or settings, 16 are shown, evenly spaced from the best to the worst.
    """
    own, swept, values = members(options), differences(options), np.array(record[metric], float)
    shown, groups = _choose(values, mode), list(settings(options).values())
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("member", "seed", *swept[0], metric):
        table.add_column(column, justify="right")
    for member in shown:
        step = record["diverged"].get(str(member))
        result = f"{values[member]:.5g}" if step is None else f"frozen at step {step}"
        style = "bold" if member == record["best_member"] else None
        seed = str(own[member].training.seed)
        table.add_row(str(member), seed, *_numbers(swept[member]), result, style=style)
    summaries = [summarize(values[group]) for group in groups]
    shown_groups = _choose(np.array([summary.mean for summary in summaries]), mode)
    for number in shown_groups:
        group, summary = groups[number], summaries[number]
        if len(group) > 1 and np.isfinite(summary.mean):
            result = f"{summary.mean:.5g} ± {summary.std:.2g}"
            table.add_row("mean", f"of {len(group)}", *_numbers(swept[group[0]]), result)
    left_out = [
        f"{len(some)} of {len(every)} {name}"
        for some, every, name in ((shown, own, "members"), (shown_groups, groups, "settings"))
        if len(some) < len(every)
    ]
    if left_out:
        table.caption = f"{' and '.join(left_out)}, from the best to the worst"
        table.caption_justify = "left"
    return table


def _choose(scores: Float[np.ndarray, "n"], mode: Mode) -> list[int]:
    """Choose all, or some of many, evenly spaced by their rank."""
    if len(scores) <= NUM_SHOWN:
        return list(range(len(scores)))
    ranked = ranking(scores, mode)
    return ranked[spread_out(len(ranked), NUM_SHOWN)].tolist()


def _numbers(setting: Mapping[str, float]) -> list[str]:
    return [f"{value:g}" for value in setting.values()]
