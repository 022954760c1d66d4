"""HTML whose text cannot be markup."""

from html.parser import HTMLParser

import pytest

from jaxgen.report.markup import Html, element, join, section, table

HOSTILE = ["<script>alert(1)</script>", '" onload="x', "a & b", "<!--", "'", "</style>"]


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text, self.attributes = [], "", {}

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= dict(attrs)

    def handle_data(self, data):
        self.text += data


def read(text):
    reader = Reader()
    reader.feed(text)
    reader.close()
    return reader


@pytest.mark.parametrize("text", HOSTILE)
def test_text_and_attributes_are_read_back_as_they_were(text):
    reader = read(element("p", text, title=text))
    assert (reader.tags, reader.text, reader.attributes) == (["p"], text, {"title": text})
    reader = read(table(text, ["", text], [[text, text]]))
    assert reader.text == text * 4
    assert "script" not in reader.tags


def test_html_is_kept():
    assert element("p", element("b", "x"), "<") == "<p><b>x</b>&lt;</p>"
    assert join(["<", Html("<br>")]) == "&lt;<br>"


def test_attributes():
    made = element("input", class_="a", aria_label="b", hidden=True, checked=False, value=None)
    assert made == '<input class="a" aria-label="b" hidden>'


def test_a_section_is_named_by_its_heading():
    made = section("Latent space", element("p", "x"))
    assert made.startswith('<section aria-labelledby="latent-space"><h2 id="latent-space">')
