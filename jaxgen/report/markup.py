"""HTML elements; text is escaped, so that nothing in a run can be markup."""

import html
from collections.abc import Iterable, Sequence

from rich.table import Table

from jaxgen.report import words

VOID = ("img", "input", "meta")


class Html(str):
    """Text that is already HTML."""

    __slots__ = ()


def element(tag: str, /, *children: str, **attributes: str | int | bool | None) -> Html:
    """Create an element; strings among the children are escaped unless they are Html.

    In the names of attributes, `_` stands for `-`, and one at the end is dropped. True is an
    attribute without a value; False and None omit it.
    """
    parts = [tag]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(key)
        elif value is not None and value is not False:
            parts.append(f'{key}="{html.escape(str(value))}"')
    start = f"<{' '.join(parts)}>"
    return Html(start) if tag in VOID else Html(f"{start}{join(children)}</{tag}>")


def join(parts: Iterable[str]) -> Html:
    """Concatenate, escaping what is not Html."""
    return Html("".join(part if isinstance(part, Html) else html.escape(part) for part in parts))


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Html:
    """Create a table that scrolls sideways; the first cell of a row is its header."""
    head = element("tr", *map(_column_header, header))
    body = [
        element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in cells))
        for first, *cells in rows
    ]
    whole = element(
        "table",
        element("caption", caption),
        element("thead", head) if any(header) else Html(),
        element("tbody", *body),
    )
    return element("div", whole, class_="wide", tabindex=0, role="region", aria_label=caption)


def _column_header(name: str) -> Html:
    return element("th", name, scope="col") if name else element("td")


def section(title: str, *children: str) -> Html:
    """Create a section, whose heading a link can name."""
    anchor = title.lower().replace(" ", "-")
    return element("section", element("h2", title, id=anchor), *children, aria_labelledby=anchor)


def rich_table(made: Table, caption: str) -> Html:
    """Convert a table for the terminal."""
    columns = [[str(cell) for cell in column.cells] for column in made.columns]
    rows = list(zip(*columns, strict=True))
    header = [words.name(str(column.header)) for column in made.columns]
    note = element("p", str(made.caption), class_="faint") if made.caption else Html()
    return join([table(caption, header, rows), note])


def list_of(items: Sequence[str], **attributes: str) -> Html:
    """Create a list; empty if there are no items."""
    if not items:
        return Html()
    return element("ul", join(element("li", item) for item in items), **attributes)
