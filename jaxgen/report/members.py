"""The section on the members of a population."""

import numpy as np

from jaxgen.report import charts, words
from jaxgen.report.contents import Contents, attempt
from jaxgen.report.figures import FRAME_BYTES, from_file
from jaxgen.report.markup import Html, element, rich_table, section
from jaxgen.runner.sweep import differences
from jaxgen.runner.tables import members_table
from jaxgen.runs import directory

NUM_SHOWN = 8  # members whose samples are shown


def shown_members(contents: Contents) -> list[int]:
    """Choose members of a population: the best one, and others from the first to the last."""
    if contents.num_members is None:
        return []
    spread = charts.spread_out(contents.num_members, NUM_SHOWN).tolist()
    best = contents.best_member
    if best is None or best in spread:
        return spread
    return sorted([best, *spread[:-1]])


def members(contents: Contents) -> Html:
    """Show the effect of a sweep, and the members of a population side by side."""
    if contents.num_members is None or not contents.records:
        return Html()
    recipe, options = contents.recorded.recipe, contents.recorded.options
    last, swept = contents.records[-1], differences(options)
    scores = np.array(last.get(recipe.best), float)
    effects = [
        charts.of_sweep(name, [values[name] for values in swept], scores, recipe.best)
        for name in swept[0]
        if len({values[name] for values in swept}) > 1
    ]
    caption = f"Members after epoch {last['epoch']}"
    rows = attempt(
        contents.problems,
        "The table of members",
        lambda: rich_table(members_table(last, options, recipe.best), caption),
    )
    pictures = []
    for member in shown_members(contents):
        place = directory.samples_path(directory.member_path(contents.path, member), last["epoch"])
        title = f"Member {member}" + " (best)" * (member == contents.best_member)
        pictures.append(from_file(contents, place, title, _setting(swept[member]), FRAME_BYTES))
    return section(
        "Members",
        element("div", *map(charts.chart, effects), class_="grid"),
        rows or Html(),
        element("h3", "Samples side by side") if any(pictures) else Html(),
        element("div", *pictures, class_="grid small"),
    )


def _setting(values: dict[str, float]) -> str:
    return ", ".join(f"{words.name(name)} {value:g}" for name, value in values.items())
