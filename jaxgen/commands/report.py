"""`jaxgen report`: make a page about a run, or about several."""

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from jaxgen import console
from jaxgen.commands.arguments import RecipeModule, from_module
from jaxgen.errors import InputError
from jaxgen.recipes.recipe import Recipe
from jaxgen.runner.evaluation_options import EvaluationOptions
from jaxgen.runs import directory

MAX_RUNS = 50


def report(
    run_dirs: Annotated[tuple[Path, ...], tyro.conf.Positional],
    output: Path | None = None,
    data_dir: Path | None = None,
    manual_dir: Path | None = None,
    recipe: RecipeModule = None,
) -> None:
    """Make an HTML page about a run, with its curves, pictures, evaluation and environment.

    Of several runs, the page compares them. It is one file that opens without a network.

    Args:
        run_dirs: Directory of a run, or of each of several runs.
        output: The .html file to write; None: report.html in the directory of the run.
        data_dir: Directory of prepared sets of TensorFlow Datasets; None: that of the run.
        manual_dir: Directory with the original .gz files; None: that of the run.
        recipe: Module with the recipe of the runs, if it is neither built in nor registered.
    """
    from jaxgen.report.comparison import comparison
    from jaxgen.report.contents import read
    from jaxgen.runs.caches import keep_compiled_programs

    path = _output(run_dirs, output)
    own = None if recipe is None else from_module(recipe)
    keep_compiled_programs()
    screen = console.make_console()
    if len(run_dirs) == 1:
        write_report(run_dirs[0], own, path, EvaluationOptions((), 0, data_dir, manual_dir), screen)
    else:
        _write(path, comparison([read(run_dir, own) for run_dir in run_dirs]))
    screen.print(f"report: {path}")


def write_report(
    run_dir: Path, recipe: Recipe | None, path: Path, data: EvaluationOptions, screen: Console
) -> None:
    """Write the report of one run.

    Raises InputError if the directory is not a run, or if the page cannot be written.
    """
    from jaxgen.report.contents import read, with_model
    from jaxgen.report.page import report

    _write(path, report(with_model(read(run_dir, recipe), data, screen)))


def _write(path: Path, text: str) -> None:
    """Write a page, or leave the one that is there. Raises InputError if that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        directory.write_text(path, text)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.") from None


def _output(run_dirs: tuple[Path, ...], output: Path | None) -> Path:
    """Choose the file to write. Raises InputError if it cannot be a page."""
    if len(run_dirs) == 0:
        raise InputError("Name the directory of a run.")
    if len(run_dirs) > MAX_RUNS:
        raise InputError(f"A report compares at most {MAX_RUNS} runs, not {len(run_dirs)}.")
    places = [run_dir.resolve() for run_dir in run_dirs]
    if twice := [run_dir for run_dir in run_dirs if places.count(run_dir.resolve()) > 1]:
        raise InputError(f"{twice[0]} is given twice: name each run once.")
    if output is None:
        if len(run_dirs) > 1:
            raise InputError("A report of several runs needs --output FILE.html.")
        return directory.report_path(run_dirs[0])
    if output.suffix.lower() not in (".html", ".htm") or output.is_dir():
        raise InputError(f"{output} cannot be written: give the name of an .html file.")
    if output.parent.is_file():
        raise InputError(f"{output} cannot be written: {output.parent} is a file.")
    return output
