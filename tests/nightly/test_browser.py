"""The page in a real browser: it opens from disk, asks nobody, complains of nothing, and works."""

import base64
import io

import browser
import pytest
from PIL import Image
from report_folders import failed, job, sweep

from regraft.page import write

pytestmark = pytest.mark.skipif(browser.find() is None, reason="no Chromium; CHROME names another")
NAME = "<img src='http://127.0.0.1:9/x' onerror=fetch('http://127.0.0.1:9/y')>"
ROWS = "[...document.querySelectorAll('#listing tbody tr')]"
SHOWN = f"{ROWS}.filter(row => row.offsetHeight).map(row => row.dataset.job).join(' ')"
PARTS = "[...document.querySelectorAll('.job')].filter(one => one.offsetHeight).map(one => one.id)"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A sweep of two strategies and two seeds, a failed job, and one with hostile names."""
    folder = sweep(tmp_path_factory.mktemp("page"))
    failed(folder / "4", "RegraftError: out of memory", strategy="scratch", seed=2)
    job(folder / "10", acc=0.3, strategy=NAME, classes=(NAME, "b"), forecast={"words": NAME})
    return write.write(folder).as_uri()


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser.tab(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


def test_it_opens_from_disk_asks_nobody_and_complains_of_nothing(page, tab):
    tab.open(page)

    assert tab.requests[0] == page
    assert all(address.startswith("data:image/") for address in tab.requests[1:])
    assert len(tab.requests) > 1
    assert tab.complaints == []
    assert tab.ask("document.title") == "Sweep over strategy · regraft"


def test_a_page_that_does_either_would_be_noticed(tmp_path, tab):
    before = len(tab.requests), len(tab.complaints)
    bad = tmp_path / "bad.html"
    bad.write_text("<img src='http://127.0.0.1:9/x'><script>console.error(1); x()</script>")
    tab.open(bad.as_uri())

    assert tab.requests[before[0] :] == [bad.as_uri(), "http://127.0.0.1:9/x"]
    assert len(tab.complaints[before[1] :]) >= 2


def test_nothing_runs_or_loads_even_if_a_name_were_not_escaped(page, tmp_path, tab):
    """The page's policy is a second wall."""
    text = write.Path(page.removeprefix("file://")).read_text(encoding="utf-8")
    before = len(tab.requests)
    (tmp_path / "broken.html").write_text(
        text.replace("<main>", f"<main>{NAME}<script>document.title = 'ran'</script>")
    )
    tab.open((tmp_path / "broken.html").as_uri())

    assert "ran" not in tab.ask("document.title")
    assert not [one for one in tab.requests[before:] if one.startswith("http")]


def test_a_click_on_a_heading_sorts_and_another_one_the_other_way(page, tab):
    tab.open(page)
    assert tab.ask(SHOWN) == "0 1 2 3 4 10"
    click = "document.querySelector('th[data-key=\"test/acc\"] button').click();"

    assert tab.ask(click + SHOWN) == "1 0 3 2 10 4"  # what has none comes last
    assert tab.ask(click + SHOWN) == "10 2 3 0 1 4"
    sort = "document.querySelector('th[data-key=\"test/acc\"]').getAttribute('aria-sort')"
    assert tab.ask(sort) == "ascending"


def test_text_and_values_filter_and_the_address_keeps_it(page, tab):
    tab.open(page)
    form = "const form = document.querySelector('#jobs form'); "
    typed = "form.elements.q.value = 'SCRATCH finished'; form.elements.q.dispatchEvent(event); "
    chosen = "form.elements.seed.value = '1'; form.elements.seed.dispatchEvent(event); "
    event = "const event = new Event('input', {bubbles: true}); "

    assert tab.ask(f"{{ {form}{event}{typed} {SHOWN} }}") == "2 3"
    assert tab.ask(f"{{ {form}{event}{chosen} {SHOWN} }}") == "3"
    assert tab.ask("document.querySelector('#jobs output').textContent") == "1 of 6 jobs"
    address = tab.ask("location.href")
    tab.open("about:blank")
    tab.open(address)
    assert tab.ask(SHOWN) == "3"
    reset = "document.querySelector('#jobs form').reset(); new Promise(r => setTimeout(r, 50))"
    tab.ask(reset)
    assert tab.ask(SHOWN) == "0 1 2 3 4 10"


def test_one_job_is_shown_at_a_time_and_chosen_by_link_list_and_step(page, tab):
    tab.open(page)
    assert tab.ask(PARTS) == ["job-1"]  # the best by validation
    tab.ask("document.querySelector('#listing a[href=\"#job-3\"]').click()")
    tab.ask("new Promise(done => setTimeout(done, 50))")
    assert tab.ask(PARTS) == ["job-3"]
    tab.ask("document.querySelector('#details [name=next]').click()")
    assert tab.ask(PARTS) == ["job-4"]
    tab.open("about:blank")
    tab.open(f"{page}#job=10&sort=nonsense&seed=77")
    assert tab.ask(PARTS) == ["job-10"]
    assert tab.ask(SHOWN) == "0 1 2 3 4 10"


def test_without_scripts_everything_is_there(page, tab):
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.open("about:blank")
        tab.open(page)
        assert len(tab.ask(PARTS)) == 6
        assert tab.ask(SHOWN) == "0 1 2 3 4 10"
        assert tab.ask("document.querySelector('#jobs form').offsetHeight") == 0
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("width", [400, 1000, 1800])
def test_it_fits_the_window_and_is_not_blank(width, page, tab):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    tab.call("Emulation.setDeviceMetricsOverride", **size)
    try:
        tab.open(page)
        assert tab.ask("document.documentElement.scrollWidth") <= width
        picture = base64.b64decode(tab.call("Page.captureScreenshot")["data"])
    finally:
        tab.call("Emulation.clearDeviceMetricsOverride")
    with Image.open(io.BytesIO(picture)) as image:
        assert image.width == width
        assert len(set(image.convert("L").get_flattened_data())) > 50
