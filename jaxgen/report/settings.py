"""The settings that a run used, in words."""

from jaxgen.recipes.recipe import Task
from jaxgen.report.contents import Contents, attempt
from jaxgen.report.words import name, value


def settings(contents: Contents) -> dict[str, str]:
    """List the options in effect; one that was left open has the value that was chosen for it."""
    options = contents.recorded.options
    task = built(contents)
    used = (task and task.settings) or vars(options.config)
    swept = {key: values for key, values in vars(options.sweep).items() if values}
    rows = {
        key: f"{value(swept[key])} (swept)" if key in swept else value(setting)
        for key, setting in used.items()
        if setting is not None
    }
    training = options.training
    rows |= {"batch_size": value(training.batch_size), "epochs": value(training.epochs)}
    last = training.seed + training.num_seeds - 1
    seeds = value(training.seed) if training.num_seeds == 1 else f"{training.seed} to {last}"
    rows["seed" if training.num_seeds == 1 else "seeds"] = seeds
    return {name(key): text for key, text in rows.items()}


def built(contents: Contents) -> Task | None:
    """Return the functions of a run; None if its recipe cannot build them."""
    if contents.run is not None:
        return contents.run.task
    recipe, options, facts = contents.recorded
    return attempt(contents.problems, "The model", lambda: recipe.build(options.config, facts))
