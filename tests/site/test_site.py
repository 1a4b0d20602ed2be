# SPDX-License-Identifier: GPL-2.0-or-later
"""The report in headless Chromium, desktop and phone, light and dark, with axe-core, and in w3m."""

import html.parser
import json
import os
import pathlib
import subprocess
import urllib.parse
import xml.etree.ElementTree as ElementTree

import pytest

from tests.site.support import example_site
from tests.site.support.browser import Browser

KERNEL = example_site.release_of("427.22.1.el9_4")
PAGES = [
    "index.html",
    "search.html",
    f"kernels/{KERNEL}.html",
    f"patches/{example_site.WITHDRAWN}.html",
    "cves/CVE-2024-21151.html",
]
WIDTHS = {"desktop": (1280, 900), "phone": (360, 740)}
PICTURES = pathlib.Path(__file__).parents[2] / "build" / "site-pictures"


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("npm")
    subprocess.run(
        ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, "axe-core@4"],
        check=True,
        timeout=300,
    )
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


class Links(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.ids = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.found += [values[name] for name in ("href", "src") if name in values]
        self.ids.add(values.get("id"))


def test_every_link_leads_to_a_page_of_the_site(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) == 2 + 6 + 20 + 10
    ids = {page: Links(page.read_text()).ids for page in pages}
    for page in pages:
        for link in Links(page.read_text()).found:
            parts = urllib.parse.urlsplit(link)
            assert not parts.scheme and not parts.netloc, f"{page}: {link} leaves the site"
            target = (page.parent / urllib.parse.unquote(parts.path)) if parts.path else page
            assert target.is_file(), f"{page}: {link}"
            if parts.fragment:
                assert parts.fragment in ids[target.resolve()], f"{page}: {link}"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", WIDTHS)
@pytest.mark.parametrize("page", PAGES)
def test_pages_are_accessible_and_fit(site, browser, axe, page, size, theme):
    browser.resize(*WIDTHS[size], dark=theme == "dark")
    browser.requests.clear()
    browser.open(site / page)
    assert all(url.startswith("file://") for url in browser.requests), browser.requests
    assert browser.run("document.documentElement.scrollWidth") <= WIDTHS[size][0], "it scrolls sideways"
    browser.run(axe)
    found = browser.run("axe.run(document).then(r => r.violations.map(v => v.id + ': ' + v.nodes[0].html))")
    assert found == []
    PICTURES.mkdir(parents=True, exist_ok=True)
    browser.picture(PICTURES / f"{page.split('/')[0].removesuffix('.html')}-{size}-{theme}.png")


def test_a_search_finds_and_enter_opens_the_first(site, browser):
    browser.resize(*WIDTHS["desktop"])
    browser.open(site / "search.html")
    browser.run(
        "const field = document.getElementById('words'); field.value = '427_22 1-2';"
        "field.dispatchEvent(new Event('input'));"
    )
    shown = browser.run(
        "[...document.querySelectorAll('.items > li')].filter(n => !n.hidden).map(n => n.innerText)"
    )
    assert shown == [example_site.WITHDRAWN + " withdrawn"]
    assert browser.run("document.getElementById('count').textContent") == "1 of 36"
    browser.run("document.getElementById('search').requestSubmit()")
    while browser._message().get("method") != "Page.loadEventFired":
        pass
    assert example_site.WITHDRAWN in browser.run("document.querySelector('h1').textContent")


def test_without_javascript_everything_is_there(site, browser):
    browser.scripts(False)
    try:
        browser.open(site / "search.html")
        root = browser.call("DOM.getDocument", depth=-1)["root"]
        text = json.dumps(root)
        form = browser.call("DOM.querySelector", nodeId=root["nodeId"], selector="form[hidden]")["nodeId"]
        assert form, "a search field that does nothing is shown"
        assert KERNEL in text and "CVE-2024-21151" in text and "with your browser" in text
    finally:
        browser.scripts(True)


def test_the_matrix_tells_the_three_states_in_words(site, browser):
    browser.resize(*WIDTHS["desktop"])
    browser.open(site / "index.html")
    cells = browser.run(
        "Object.fromEntries([...document.querySelectorAll('.matrix tbody tr')].map(r =>"
        "[r.querySelector('a').textContent, [...r.querySelectorAll('td')].map(c => c.textContent)]))"
    )
    assert cells["CVE-2024-21188"] == ["reboot", "open", "reboot"]
    assert cells["CVE-2024-21151"] == ["–", "reboot", "open"]
    assert cells["CVE-2024-21185"] == ["live", "live", "live"]


def test_a_terminal_browser_shows_the_same(site):
    done = subprocess.run(
        ["w3m", "-dump", "-cols", "100", "-T", "text/html", site / "index.html"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "HOME": str(site.parent)},
    )
    lines = done.stdout.splitlines()
    (row,) = [line.split() for line in lines if line.startswith("CVE-2024-21151")]
    assert row == ["CVE-2024-21151", "Important", "–", "reboot", "open"]
    assert any("2025-05-03 to 2027-04-30" in line for line in lines)


def test_the_feed_is_atom_with_the_newest_first(site):
    atom = "{http://www.w3.org/2005/Atom}"
    root = ElementTree.parse(site / "feed.xml").getroot()
    entries = root.findall(atom + "entry")
    assert root.tag == atom + "feed" and len(entries) == 10
    dates = [entry.find(atom + "updated").text for entry in entries]
    assert dates == sorted(dates, reverse=True) and root.find(atom + "updated").text == dates[0]
    assert len({entry.find(atom + "id").text for entry in entries}) == 10
    titles = [entry.find(atom + "title").text for entry in entries]
    assert "Withdrawn: " + example_site.WITHDRAWN in titles


def test_the_data_is_the_same_as_the_pages(site):
    data = json.loads((site / "data.json").read_text())
    (kernel,) = [item for item in data["kernels"] if item["release"] == KERNEL]
    assert kernel["counts"] == {"closed-live": 6, "reboot-only": 1, "open": 1}
    assert kernel["newest"].endswith("1-1.el9_4.x86_64"), "the withdrawn one must not count"
