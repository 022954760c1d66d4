"""The section on the members of a population."""

from jaxgen.report import charts, words
from jaxgen.report.contents import Contents, attempt
from jaxgen.report.figures import FRAME_BYTES, from_file
from jaxgen.report.markup import Html, element, rich_table, section
from jaxgen.runner.sweep import differences
from jaxgen.runner.tables import members_table
from jaxgen.runs import directory
from jaxgen.training.population import best_median_worst, spread_out

NUM_SHOWN = 8  # members whose samples are shown


def shown_members(contents: Contents) -> dict[int, str]:
    """Choose drawn members of a population, and name the best, the median and the worst of all."""
    if contents.num_members is None or not contents.records:
        return {}
    recipe = contents.recorded.recipe
    drawn, names = contents.drawn_members, best_median_worst(contents.scores, recipe.mode)
    named = [member for member in drawn if member in names]
    others = [member for member in drawn if member not in names]
    spread = [others[i] for i in spread_out(len(others), NUM_SHOWN - len(named))]
    return {member: names.get(member, "") for member in sorted([*named, *spread])}


def members(contents: Contents) -> Html:
    """Show the effect of a sweep, and the members of a population side by side."""
    if contents.num_members is None or not contents.records:
        return Html()
    recipe, options = contents.recorded.recipe, contents.recorded.options
    last, swept = contents.records[-1], differences(options)
    scores = contents.scores
    effects = [
        charts.of_sweep(name, [values[name] for values in swept], scores, recipe.best)
        for name in swept[0]
        if len({values[name] for values in swept}) > 1
    ]
    caption = f"Members after epoch {last['epoch']}"
    rows = attempt(
        contents.problems,
        "The table of members",
        lambda: rich_table(members_table(last, options, recipe.best, recipe.mode), caption),
    )
    pictures = []
    for member, name in shown_members(contents).items():
        place = directory.samples_path(directory.member_path(contents.path, member), last["epoch"])
        title = f"Member {member}" + f" ({name})" * bool(name)
        pictures.append(from_file(contents, place, title, _setting(swept[member]), FRAME_BYTES))
    return section(
        "Members",
        from_file(contents, directory.histogram_path(contents.path), "Scores of all members", ""),
        element("div", *map(charts.chart, effects), class_="grid"),
        rows or Html(),
        element("h3", "Samples side by side") if any(pictures) else Html(),
        element("div", *pictures, class_="grid small"),
    )


def _setting(values: dict[str, float]) -> str:
    return ", ".join(f"{words.name(name)} {value:g}" for name, value in values.items())
