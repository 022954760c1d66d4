"""A page in a browser: its charts, slider and themes; it is never blank, and never too wide."""

import io
import re

import numpy as np
import pytest
from browsing import browser, opened, scrolls_sideways, violations
from PIL import Image

from jaxgen.report import charts
from jaxgen.report.figures import animation
from jaxgen.report.images import image
from jaxgen.report.markup import element, section, table
from jaxgen.report.page import page as make_page

NAME = "a_very_long_name_without_a_place_to_break_" * 5


@pytest.fixture(scope="module")
def chromium():
    with browser() as own:
        yield own


def records(members=None):
    def value(x):
        return x if members is None else [x * (1 + m / 10) for m in range(members)]

    return [
        {"epoch": n, "train/a": value(100.0 / n), "test/a": value(150.0 / n)} for n in range(1, 21)
    ]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A page with everything that a page can have."""
    panels = {"loss": ("train/a", "test/a")}
    groups = {"kl_weight 1": [0, 1, 2], "kl_weight 4": [3, 4]}
    found = [
        *charts.of_run(records(), panels, 7),
        *charts.of_population(records(5), panels, groups, [0, 3], None),
        charts.of_sweep("learning_rate", [1e-3, 1e-2, 1e-1], np.array([1.0, 3.0, 2.0]), "test/a"),
        charts.Chart("one point", "epoch", [charts.Line("a", np.ones(1), np.full(1, 5.0))], 1),
        charts.Chart("nothing", "epoch", [charts.Line("a", np.ones(1), np.full(1, np.nan))]),
    ]
    frames = []
    for epoch, shade in ((1, 0), (2, 128), (5, 255)):
        file = io.BytesIO()
        Image.new("L", (700, 300), shade).save(file, "PNG")
        name = f"after epoch {epoch}"
        frames.append((name, image(file.getvalue(), f"Samples {epoch}", name=name)))
    body = [
        section("Samples", animation("Samples", frames, "A note")),
        section("Curves", element("div", *map(charts.chart, found), class_="grid")),
        section("Details", table("Options", ["", NAME], [[NAME, NAME]]), element("pre", NAME)),
    ]
    summary = element("p", "A headline", class_="headline")
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(make_page(NAME, summary, [NAME], [NAME], body))
    return path


def domain(page, chart=0):
    """The first and the last tick of a chart."""
    place = page.locator("figure.chart").nth(chart)
    texts = place.locator("svg[role=application] text[text-anchor=middle]").all_text_contents()
    ticks = [float(text) for text in texts if re.fullmatch(r"[-\d.e]+", text)]
    return ticks[0], ticks[-1]


@pytest.fixture(scope="module")
def window(chromium, path):
    with opened(chromium, path) as page:
        yield page


@pytest.fixture
def page(window):
    """The page as it is when it has just been opened."""
    window.reload()
    return window


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (1200, "dark")])
def test_it_is_legible_and_labelled_at_every_width_and_in_both_themes(
    chromium, path, width, scheme
):
    color = "getComputedStyle(document.body).backgroundColor"
    with opened(chromium, path, width, scheme) as page:
        assert not scrolls_sideways(page)
        assert violations(page) == []
        before = page.evaluate(color)
        page.focus("#theme")
        page.keyboard.press("Enter")
        after = page.evaluate(color)
        assert violations(page) == []
        page.click("figure.chart details summary")
        assert not scrolls_sideways(page)
        page.click("#theme")
        assert page.evaluate(color) == before
    white = "rgb(255, 255, 255)"
    assert [before == white, after == white] == [scheme == "light", scheme == "dark"]


def test_charts_are_not_blank(page):
    for number in range(4):
        place = page.locator("figure.chart svg[role=application]").nth(number)
        picture = Image.open(io.BytesIO(place.screenshot())).convert("RGB")
        colors = picture.getcolors(maxcolors=2**20)
        assert colors is not None
        assert len(colors) > 50
        assert sum(sorted(num for num, _ in colors)[:-1]) > 1000  # besides the background


def test_a_drag_zooms_and_a_button_resets(page):
    assert domain(page) == (5, 20)
    plot = page.locator("figure.chart svg[role=application]").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    y = box["y"] + 100
    page.mouse.move(box["x"] + 0.3 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], y, steps=5)
    page.mouse.up()
    low, high = domain(page)
    assert 5 <= low < high <= 12
    page.get_by_role("button", name="Reset").first.click()
    assert domain(page) == (5, 20)


def test_values_are_read_by_pointer_and_by_keyboard(page):
    plot = page.locator("figure.chart svg[role=application]").first
    tip = page.locator("figure.chart .tip").first
    box = plot.bounding_box()
    assert box is not None
    plot.hover(position={"x": box["width"] - 15, "y": 100})
    assert tip.text_content() == "epoch 20; train: 5; test: 7.5"
    plot.focus()
    page.mouse.move(0, 0)
    page.keyboard.press("ArrowRight")
    assert tip.text_content() == "epoch 1; train: 100; test: 150"
    page.keyboard.press("ArrowRight")
    assert tip.text_content() == "epoch 2; train: 50; test: 75"
    page.keyboard.press("+")
    assert domain(page)[1] < 20
    page.keyboard.press("0")
    assert domain(page) == (5, 20)


def test_bands_say_their_spread(page):
    page.locator("figure.chart svg[role=application]").nth(1).focus()
    page.keyboard.press("ArrowRight")
    tip = page.locator("figure.chart .tip").nth(1)
    text = tip.text_content()
    assert text is not None
    assert "epoch 1; train, KL weight 1: 110 ± 10; " in text
    assert "member" not in text


def test_the_log_scale_changes_the_ticks(page):
    button = page.get_by_role("button", name="Log scale").first
    ticks = page.locator("figure.chart").first.locator("text[text-anchor=end]")
    before = ticks.all_text_contents()
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert {"10", "20", "50", "100"} <= set(ticks.all_text_contents())
    button.click()
    assert ticks.all_text_contents() == before


def test_a_line_can_be_hidden(page):
    chart = page.locator("figure.chart").first
    lines = chart.locator("svg[role=application] path.line")
    assert lines.count() == 2
    chart.get_by_role("button", name="train").click()
    assert lines.count() == 1


def test_the_slider_shows_one_picture_at_a_time(page):
    film = page.locator("figure.film")
    images, caption = film.locator("img:visible"), film.locator("figcaption span")
    assert caption.text_content() == "after epoch 5"
    film.locator("input").focus()
    page.keyboard.press("ArrowLeft")
    assert images.count() == 1
    assert images.get_attribute("alt") == "Samples 2"
    assert caption.text_content() == "after epoch 2"
    assert film.locator("input").get_attribute("aria-valuetext") == "after epoch 2"


def test_the_animation_plays_when_asked_and_can_be_paused(page):
    film = page.locator("figure.film")
    button, shown = film.get_by_role("button"), film.locator("img:visible")
    page.clock.install(time=0)
    page.clock.pause_at(1000)  # so that time passes only when it is told to
    button.click()
    seen = []
    for _ in range(3):
        seen.append(shown.get_attribute("alt"))
        page.clock.run_for(300)
    assert seen == ["Samples 1", "Samples 2", "Samples 5"]
    assert button.text_content() == "Play"  # it stops at the end
    button.click()
    assert button.text_content() == "Pause"
    page.clock.run_for(300)
    button.click()
    page.clock.run_for(900)
    assert shown.get_attribute("alt") == "Samples 2"


def test_without_the_script_the_last_samples_and_the_numbers_are_there(chromium, path):
    with opened(chromium, path, javascript=False) as page:
        shown = page.locator("figure.film img:visible")
        assert shown.count() == 1
        assert shown.get_attribute("alt") == "Samples 5"
        assert page.locator("figcaption span").text_content() == "after epoch 5"
        assert page.get_by_role("button", name="Play").count() == 0
        page.click("figure.chart details summary")
        assert page.locator("figure.chart td:visible").count() > 0
