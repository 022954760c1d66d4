"""The sections on the results of a run; a section without contents is empty."""

import numpy as np

from jaxgen.report import charts, latents
from jaxgen.report.contents import Contents, attempt
from jaxgen.report.figures import figure, film, from_file
from jaxgen.report.images import image
from jaxgen.report.markup import Html, element, rich_table, section
from jaxgen.runner import evaluation_tables
from jaxgen.runner.sweep import settings
from jaxgen.runs import directory
from jaxgen.training.population import spread_out


def curves(contents: Contents) -> Html:
    """Chart the metrics of all epochs."""
    if not contents.records:
        return Html()
    recipe, options = contents.recorded.recipe, contents.recorded.options
    if contents.num_members is None:
        found = charts.of_run(contents.records, recipe.panels, contents.best_epoch)
        note = ""
    else:
        groups, left_out = _shown_settings(contents, settings(options))
        chosen = spread_out(contents.num_members, charts.MAX_MEMBERS).tolist()
        found = charts.of_population(
            contents.records, recipe.panels, groups, chosen, contents.best_epoch
        )
        note = (
            "Bands are one standard deviation over the members of a setting to either side of "
            f"their mean; thin lines are members. {left_out}"
        )
    return section(
        "Curves",
        element("p", note, class_="faint") if note else "",
        element("noscript", from_file(contents, contents.path / "curves.png", "Curves", "")),
        element("div", *map(charts.chart, found), class_="grid"),
    )


def samples(contents: Contents) -> Html:
    """Show the samples of some epochs, and reconstructions."""
    place, who = contents.path, ""
    if contents.num_members is not None:
        member, name = contents.best_drawn
        place, who = directory.member_path(place, member), f" of {name}"
    caption = "Test images, each beside its reconstruction."
    figures = [
        film(contents, place, who),
        from_file(contents, place / "reconstructions.png", f"Reconstructions{who}", caption),
    ]
    return section("Samples", element("div", *figures, class_="grid")) if any(figures) else Html()


def latent_space(contents: Contents) -> Html:
    """Draw the pictures that the model can draw."""
    if contents.run is None:
        return Html()
    run, figures = contents.run, []
    if run.num_members is not None:
        run = run.member(contents.best_member or 0)
    who = "" if contents.num_members is None else f"Of member {contents.best_member}, the best."
    drawings = latents.drawings(run, contents.test)
    for drawing in attempt(contents.problems, "The latent space", lambda: list(drawings)) or []:
        alt = f"{drawing.title}. {drawing.caption}"
        picture = attempt(
            contents.problems,
            drawing.title,
            lambda drawing=drawing, alt=alt: image(latents.png(drawing.draw()), alt),
        )
        if picture is not None:
            figures.append(figure(drawing.title, drawing.caption, picture))
    if not figures:
        return Html()
    step = f"The model after {run.step} steps. {who}"
    return section(
        "Latent space",
        element("p", step, class_="faint"),
        element("div", *figures, class_="columns"),
    )


def evaluation(contents: Contents) -> Html:
    """Tabulate the results of `jaxgen evaluate`."""
    results, parts = contents.evaluation, []
    num_members = contents.num_members or 1
    if not results:
        hint = "Not evaluated yet: run jaxgen evaluate, then jaxgen report again."
        return section("Evaluation", element("p", hint))
    if len(evaluated := results.get("evaluated_members", range(num_members))) < num_members:
        note = f"{len(evaluated)} of {num_members} members, evenly spaced."
        parts.append(element("p", note, class_="faint"))
    for name, make in (
        ("likelihood", evaluation_tables.likelihood_table),
        ("samples", evaluation_tables.sample_table),
    ):
        if name in results:
            made = attempt(
                contents.problems, f"The evaluation of {name}", lambda make=make: make(results)
            )
            parts.append(Html() if made is None else rich_table(made, str(made.title)))
    place = contents.path
    nearest = place if contents.num_members is None else directory.member_path(place, 0)
    pictures = [
        (place / "evaluation.png", "Activity and classes", "Charts of the figures above."),
        (
            nearest / "neighbors.png",
            "Samples nearest to training images",
            "Each sample is followed by the training image that is most like it.",
        ),
    ]
    figures = [from_file(contents, *picture) for picture in pictures]
    return section("Evaluation", *parts, element("div", *figures, class_="grid"))


def _shown_settings(
    contents: Contents, groups: dict[str, list[int]]
) -> tuple[dict[str, list[int]], str]:
    """Choose settings of a sweep, from the best to the worst; also say what is left out."""
    if len(groups) <= charts.MAX_GROUPS:
        return groups, ""
    recipe = contents.recorded.recipe
    scores = contents.scores
    sign = 1 if recipe.mode == "min" else -1
    means = [sign * charts.mean_and_std(scores[group][None])[0][0] for group in groups.values()]
    ranked = np.argsort(means)  # NaN last
    names = [list(groups)[i] for i in ranked[spread_out(len(ranked), charts.MAX_GROUPS)]]
    note = f"{len(names)} of {len(groups)} settings are shown, from the best to the worst."
    return {name: groups[name] for name in names}, note
