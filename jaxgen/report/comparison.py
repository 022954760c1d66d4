"""The report that compares runs."""

from collections.abc import Mapping, Sequence

from jaxgen.report import charts
from jaxgen.report.contents import Contents, attempt
from jaxgen.report.images import MAX_BYTES, image
from jaxgen.report.markup import Html, element, section, table
from jaxgen.report.page import page
from jaxgen.report.settings import settings
from jaxgen.runs import directory

ALL_PICTURES = 2_000_000  # bytes
FIGURES = {  # of an evaluation
    "NLL (nats)": ("likelihood", "importance_weighted", "nll_nats"),
    "negative ELBO (nats)": ("likelihood", "importance_weighted", "negative_elbo_nats"),
    "active units": ("likelihood", "active_units", "count"),
    "Fréchet distance": ("samples", "samples", "frechet_distance"),
    "precision": ("samples", "samples", "precision"),
    "recall": ("samples", "samples", "recall"),
    "recognized as their class": ("samples", "samples", "recognized"),
}


def comparison(runs: Sequence[Contents]) -> str:
    """Make the report that shows runs beside each other."""
    named = dict(zip(_names(runs), runs, strict=True))
    problems: list[str] = []
    makers = {
        "Results": _results,
        "Curves": _curves,
        "Samples": _samples,
        "Evaluation": _evaluations,
        "Settings": _settings,
    }
    made = [
        attempt(problems, title, lambda make=make: make(named)) for title, make in makers.items()
    ]
    problems += [f"{name}: {text}" for name, run in named.items() for text in run.problems]
    body = [part for part in made if part]
    return page(f"Comparison of {len(runs)} runs", Html(), [], problems, body)


def _names(runs: Sequence[Contents]) -> list[str]:
    """Return the names of the directories, or their paths where names are shared."""
    names = [run.name for run in runs]
    return [run.name if names.count(run.name) == 1 else str(run.path) for run in runs]


def _results(runs: Mapping[str, Contents]) -> Html:
    rows = []
    for name, run in runs.items():
        recipe, _, facts = run.recorded
        epoch = headline = ""
        if run.records:
            last = run.records[-1]
            epoch = str(last["epoch"])
            headline = attempt(
                run.problems,
                "The result",
                lambda recipe=recipe, last=last: recipe.headline(last),
            )
        seconds = sum(record.get("seconds", 0) for record in run.records)
        row = [name, recipe.name, facts.dataset, epoch, headline or "", f"{seconds:.0f} s"]
        rows.append(row)
    header = ["run", "recipe", "data set", "epochs", "result", "training"]
    return section("Results", table("Runs", header, rows))


def _curves(runs: Mapping[str, Contents]) -> Html:
    panels: dict[str, tuple[str, ...]] = {}
    for run in runs.values():
        panels = {**run.recorded.recipe.panels, **panels}
    trained = {name: run.records for name, run in runs.items() if run.records}
    found = [chart for chart in charts.of_runs(trained, panels) if chart.lines]
    return section("Curves", element("div", *map(charts.chart, found), class_="grid"))


def _samples(runs: Mapping[str, Contents]) -> Html:
    figures, max_bytes = [], min(MAX_BYTES, ALL_PICTURES // len(runs))
    for name, run in runs.items():
        if not run.records:
            continue
        place, who = run.path, name
        if run.num_members is not None:
            member, who = run.best_drawn
            place, who = directory.member_path(run.path, member), f"{name}, {who}"
        path = directory.samples_path(place, run.records[-1]["epoch"])
        picture = attempt(
            run.problems,
            "Samples",
            lambda path=path, who=who: image(
                path.read_bytes(), f"Samples of {who}", max_bytes=max_bytes
            ),
        )
        if picture is not None:
            figures.append(element("figure", element("figcaption", who), picture))
    return section("Samples", element("div", *figures, class_="grid")) if figures else Html()


def _evaluations(runs: Mapping[str, Contents]) -> Html:
    rows = [
        [title, *(_figure(run.evaluation, path) for run in runs.values())]
        for title, path in FIGURES.items()
    ]
    rows = [row for row in rows if any(row[1:])]
    if not rows:
        return Html()
    return section("Evaluation", table("Results of jaxgen evaluate", ["", *runs], rows))


def _figure(results: Mapping, path: tuple[str, ...]) -> str:
    """Format a figure; of a population, its mean."""
    for name in path:
        if not isinstance(results, Mapping):  # a damaged file, or one of another version
            return ""
        results = results.get("mean", results).get(name, {})
    return f"{results:.4g}" if isinstance(results, int | float) else ""


def _settings(runs: Mapping[str, Contents]) -> Html:
    """Tabulate the settings in which the runs differ."""
    own = {
        name: settings(run) | {"data set": run.recorded.facts.dataset} for name, run in runs.items()
    }
    options = dict.fromkeys(option for values in own.values() for option in values)
    rows = [[option, *(values.get(option, "") for values in own.values())] for option in options]
    rows = [row for row in rows if len(set(row[1:])) > 1]
    if not rows:
        return section("Settings", element("p", "All settings are the same."))
    return section("Settings", table("Settings that differ", ["", *runs], rows))
