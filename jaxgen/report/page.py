"""The page of a report."""

from importlib import resources

from jaxgen import __version__
from jaxgen.report import provenance, sections, words
from jaxgen.report.contents import Contents, attempt
from jaxgen.report.markup import Html, element, join, list_of
from jaxgen.report.members import members, shown_members
from jaxgen.report.warnings import warnings

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
SECTIONS = (
    sections.samples,
    sections.curves,
    members,
    sections.latent_space,
    sections.evaluation,
    provenance.provenance,
    provenance.software,
)


def report(contents: Contents) -> str:
    """Make the report of one run."""
    alerts = warnings(contents, list(shown_members(contents)))
    made = [
        attempt(contents.problems, make.__name__, lambda make=make: make(contents))
        for make in SECTIONS
    ]
    body = [part for part in made if part]
    return page(contents.name, _summary(contents), alerts, contents.problems, body)


def page(
    title: str, summary: Html, alerts: list[str], problems: list[str], body: list[Html]
) -> str:
    """Make a page that needs no other file and opens no connection."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(_asset("style.css"))),
    )
    header = element(
        "header",
        element("button", "Light or dark", type="button", id="theme", hidden=True),
        element("h1", title),
        summary,
        list_of(alerts, class_="alerts", aria_label="Warnings"),
        _missing(problems),
    )
    main = element("main", *body)
    footer = element("footer", f"Made by jaxgen {__version__}. The page opens no connection.")
    script = element("script", Html(_asset("script.js")))
    whole = element("html", head, element("body", header, main, footer, script), lang="en")
    return f"<!doctype html>\n{whole}\n"


def _summary(contents: Contents) -> Html:
    recipe, _, facts = contents.recorded
    parts = []
    if contents.records:
        last = contents.records[-1]
        headline = attempt(contents.problems, "The headline", lambda: recipe.headline(last))
        if headline:
            parts.append(element("p", words.sentence(headline), class_="headline"))
        seconds = sum(record.get("seconds", 0) for record in contents.records)
        num = contents.num_members
        epochs = f"{last['epoch']} epoch" + "s" * (last["epoch"] != 1)
        who = f"Recipe {recipe.name}" + (f", {num} members" if num is not None else "")
        best = contents.best_epoch
        parts.append(
            element(
                "p",
                f"{who}, {epochs} on {facts.num_images:,} images of "
                f"{facts.dataset}, trained for {_duration(seconds)}. "
                f"Best epoch: {best}, by {words.name(recipe.best)}.",
            )
        )
    return join(parts)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _missing(problems: list[str]) -> Html:
    if not problems:
        return Html()
    summary = element("summary", f"Missing from this report: {len(problems)}")
    return element("details", summary, list_of(problems))


def _asset(name: str) -> str:
    return resources.files("jaxgen.report").joinpath(name).read_text()
