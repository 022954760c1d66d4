"""The table of a population's members at the end of its run."""

from collections.abc import Mapping

import numpy as np
from rich.table import Table

from jaxgen.runner.options import Options
from jaxgen.runner.sweep import differences, members, settings
from jaxgen.runs.records import Record
from jaxgen.training.population import summarize


def members_table(record: Record, options: Options, metric: str) -> Table:
    """Tabulate the results of the members, the best one in bold.

    Further rows hold mean and standard deviation over the seeds of each setting of the sweep.
    """
    swept, values = differences(options), np.array(record[metric], float)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("member", "seed", *swept[0], metric):
        table.add_column(column, justify="right")
    for member, (own, setting) in enumerate(zip(members(options), swept, strict=True)):
        step = record["diverged"].get(str(member))
        result = f"{values[member]:.5g}" if step is None else f"frozen at step {step}"
        style = "bold" if member == record["best_member"] else None
        table.add_row(str(member), str(own.training.seed), *_numbers(setting), result, style=style)
    for group in settings(options).values():
        summary = summarize(values[group])
        if len(group) > 1 and np.isfinite(summary.mean):
            result = f"{summary.mean:.5g} ± {summary.std:.2g}"
            table.add_row("mean", f"of {len(group)}", *_numbers(swept[group[0]]), result)
    return table


def _numbers(setting: Mapping[str, float]) -> list[str]:
    return [f"{value:g}" for value in setting.values()]
