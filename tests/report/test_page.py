"""The page in a real browser: what it says, what can be done with it, and what it never does."""

from __future__ import annotations

import base64
import csv
import json
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from results import sample, written
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from raymeter.analysis.record_exposure import MOST_SHOWN
from raymeter.cli.main import main
from raymeter.report.page.build import write_page
from raymeter.report.page.charts import looks
from raymeter.report.page.data import EVERY, mean_curve, page_data
from raymeter.schema.results import AuditResult, PowerPoint
from raymeter.stats import dependent_targets, group_metrics, mean_over_targets, tpr_figure

EVIL = "<script>document.title='evil'</script><img src=x onerror=\"document.title='evil'\">"
WIDE, NARROW = (1200, 900), (390, 800)


def result() -> AuditResult:
    """Pictures, groups with names that are markup, a power curve, an attempt that failed."""
    plain = sample(("loss", "rmia", EVIL), targets=6, records=300)
    rng = np.random.default_rng(0)
    attacks = plain.attacks
    groups = np.array([EVIL, "other"])[np.arange(300) % 2]
    clusters = dependent_targets(~np.eye(6, dtype=bool), np.arange(6))
    points = tuple(PowerPoint(n, attacks[1].auc, attacks[1].auc, 0.01, True) for n in (1, 2))
    ids = plain.records["id"]
    return replace(
        plain,
        records={
            **plain.records,
            "p_value": rng.random(300) ** 3,
            "at_risk": np.arange(300) < 30,
            "label": np.arange(300) % 10,
        },
        groups={EVIL: group_metrics(attacks[1].scores, groups, clusters, 0)},
        main="rmia",
        power={"rmia": points},
        timeline={"attempts": [{"model": 3, "attempt": 1, "node": "n" * 56, "outcome": EVIL}]},
        provenance={"raymeter": "0", "date": "today", "dataset": {"name": EVIL}, "config": {"run": {"log_dir": EVIL}}},
        exposed={"id": ids, "x": rng.integers(0, 255, (300, 3, 8, 8)).astype(np.uint8)},
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """index.html among the other files of its report."""
    folder = tmp_path_factory.mktemp("report")
    for name, data in written(result()).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return folder / "index.html"


@pytest.fixture
def opened(chromium, page) -> webdriver.Chrome:
    """The page, newly loaded."""
    chromium.get_log("performance")
    chromium.get_log("browser")
    chromium.get(page.as_uri())
    return chromium


def requested(driver: webdriver.Chrome) -> list[str]:
    """What was asked of the network since the page was opened."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


def column(driver: webdriver.Chrome, table: str, number: int) -> list[str]:
    cells = driver.find_elements(By.CSS_SELECTOR, f"{table} tbody tr:not([hidden]) > :nth-child({number})")
    return [cell.text for cell in cells]


def test_the_verdict_comes_first_and_nothing_is_fetched(opened, page):
    """Headings in order, no error in the console, no request but for the page itself and its own pictures."""
    headings = [heading.text for heading in opened.find_elements(By.CSS_SELECTOR, "h1, h2")]
    assert headings[0].startswith("Privacy audit") and headings[1] == "Verdict"
    assert "distinguishes members from non-members with AUC" in opened.find_element(By.CSS_SELECTOR, ".verdict").text
    levels = [int(each.tag_name[1]) for each in opened.find_elements(By.CSS_SELECTOR, "h1, h2, h3")]
    assert levels[0] == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))
    assert [entry for entry in opened.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert {url for url in requested(opened) if not url.startswith("data:")} == {page.as_uri()}


def test_what_users_named_is_text(opened):
    """Markup in names of attacks, groups, datasets and errors is shown and does nothing."""
    assert opened.title != "evil" and "<script>" in opened.title
    assert opened.find_elements(By.CSS_SELECTOR, "main img:not(.thumbnail)") == []
    assert EVIL in opened.find_element(By.CSS_SELECTOR, "#verdict tbody").text
    assert len(opened.find_elements(By.TAG_NAME, "script")) == 2
    assert "onerror" in opened.find_element(By.ID, "groups").text


def test_tables_are_sorted_by_mouse_and_keyboard(opened):
    """Numbers as numbers, up and then down, and assistive technology is told."""
    heading = opened.find_element(By.XPATH, "//table[@id='exposed']//th[.//button[text()='p-value']]")
    button = heading.find_element(By.TAG_NAME, "button")
    number = 1 + opened.find_elements(By.CSS_SELECTOR, "#exposed thead tr > *").index(heading)
    button.click()
    assert heading.get_attribute("aria-sort") == "ascending"
    rising = [float(text) for text in column(opened, "#exposed", number)]
    assert rising == sorted(rising) and len(rising) == MOST_SHOWN
    button.send_keys(Keys.ENTER)
    assert heading.get_attribute("aria-sort") == "descending"
    falling = [float(text) for text in column(opened, "#exposed", number)]
    assert falling == sorted(falling, reverse=True)


def test_records_are_filtered_and_saved(opened, downloads):
    """Only those at risk, then one by its number; the CSV has what is shown, with all digits."""
    opened.find_element(By.ID, "only-risk").click()
    shown = column(opened, "#exposed", 2)
    assert 0 < len(shown) <= 30
    assert opened.find_element(By.ID, "shown").text == f"{len(shown)} shown"
    opened.find_element(By.ID, "csv").click()
    file, end = downloads / "exposed_records.csv", time.monotonic() + 20
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.05)
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert [row["record"] for row in rows] == shown and {row["at risk"] for row in rows} == {"yes"}
    stored = dict(zip(result().records["id"].tolist(), result().records["p_value"], strict=True))
    assert all(float(row["p-value"]) == stored[int(row["record"])] for row in rows)
    opened.find_element(By.ID, "find").send_keys(shown[0])
    assert shown[0] in column(opened, "#exposed", 2)


def test_pointing_at_a_curve_reads_it(opened):
    """Threshold, both rates, and precision at three priors; by the arrow keys too."""
    svg = opened.find_element(By.CSS_SELECTOR, "svg.roc")
    read = opened.find_element(By.ID, "read-1")
    ActionChains(opened).move_to_element(svg).perform()
    assert all(word in read.text for word in ("threshold", "FPR", "TPR", "PPV", "at 50 % members", "at 1 % members"))
    opened.execute_script("arguments[0].focus()", svg)
    before = read.text
    svg.send_keys(Keys.END)
    assert "FPR 100 %, TPR 100 %" in read.text and read.text != before
    svg.send_keys(Keys.HOME, Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    assert read.text != before and "PPV" in read.text


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (WIDE, "dark"), (NARROW, "light")])
def test_it_fits_and_can_be_read(opened, size, scheme):
    """No sideways scrolling, and text that stands out from its ground by the 4.5 : 1 that WCAG asks for."""
    width, height = size
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        assert opened.execute_script("return document.documentElement.scrollWidth") <= width
        for selector in ("body", ".quiet", "a", "caption", "figcaption"):
            element = opened.find_element(By.CSS_SELECTOR, selector)
            colours = [element.value_of_css_property("color")]
            colours.append(opened.find_element(By.TAG_NAME, "body").value_of_css_property("background-color"))
            assert contrast(*colours) >= 4.5, (selector, colours)
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def contrast(one: str, other: str) -> float:
    """Ratio of the relative luminances of two CSS colours (WCAG 2.1)."""

    def luminance(colour: str) -> float:
        parts = [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_print_opens_everything(opened):
    """Tables that are folded on the screen are in the printed page; controls are not."""
    pdf = base64.b64decode(opened.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert pdf.startswith(b"%PDF") and len(pdf) > 20_000
    assert all(each.get_attribute("open") for each in opened.find_elements(By.TAG_NAME, "details"))


def test_the_page_is_made_again_from_what_is_stored(page, capsys):
    """`raymeter report` writes the same bytes, for the run directory as for the report; gates are judged."""
    before = page.read_bytes()
    page.unlink()
    assert main(["report", str(page.parent), "--fail-if", "rmia.auc.low > 0.99"]) == 0
    assert page.read_bytes() == before
    assert main(["report", str(page.parent), "--fail-if", "rmia.auc.low > 0.1"]) == 3
    assert "failed: rmia.auc.low > 0.1" in capsys.readouterr().err
    assert main(["report", str(page.parent / "exp")]) == 2
    assert "has no finished report" in capsys.readouterr().err


def test_scores_alone_and_a_single_target_have_a_page(chromium, tmp_path):
    """No groups, no provenance: sections that have nothing are left out; the band of one target is of its records."""
    files = written(sample(("score",), targets=2, records=40))
    (tmp_path / "index.html").write_bytes(files["index.html"])
    chromium.get((tmp_path / "index.html").as_uri())
    assert chromium.find_elements(By.ID, "groups") == [] and chromium.find_elements(By.ID, "power") == []
    assert "other records and other trainings" in chromium.find_element(By.ID, "curves").text
    assert [entry for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_a_large_audit_has_a_small_page():
    """Points, bins and records are bounded: eight times the records, the same size."""
    small, large = (len(dict(write_page(sample(records=records)))["index.html"]) for records in (1_000, 8_000))
    assert large < 1.3 * small


def test_curves_are_means_with_the_band_of_their_figures(page):
    """TPR at a rate as metrics.json has it; the band there is nearly the interval that a report gives."""
    attack = sample(records=400).attacks[2]
    curve = mean_curve(attack)
    at = max(i for i, fpr in enumerate(curve["fpr"]) if fpr <= 0.1 + 1e-12) // EVERY * EVERY
    columns = list(zip(attack.scores.values.T, attack.scores.member.T, strict=True))
    each = [tpr_figure(*column, curve["fpr"][at]) for column in columns]
    expected = mean_over_targets(each, np.array([0, 0, 1, 1]))
    assert curve["tpr"][at] == pytest.approx(expected.estimate, abs=1e-5)
    assert curve["high"][at] - curve["low"][at] == pytest.approx(expected.high - expected.low, rel=0.2)
    assert curve["low"][at] < expected.estimate < curve["high"][at]
    thresholds = [value for value in curve["threshold"] if value is not None]
    assert thresholds == sorted(thresholds, reverse=True)


def test_the_headline_follows_the_verdict():
    """A figure at a rate that cannot be resolved is an upper limit, and no leak."""
    plain = sample(("loss",), records=120)
    attack = plain.attacks[0]
    auc = replace(attack.auc, estimate=0.5, low=0.45, high=0.55)
    rates = {rate: replace(mean, estimate=0.02, low=0.01, high=0.03) for rate, mean in attack.tpr_at_fpr.items()}
    unresolved = replace(attack, auc=auc, tpr_at_fpr=rates, resolvable=dict.fromkeys(rates, False))
    result = replace(plain, attacks=(unresolved,))
    assert page_data(result)["finding"] == "inconclusive"  # an AUC of 0.55 is not ruled out
    sure = replace(plain, attacks=(replace(unresolved, auc=replace(auc, high=0.54)),))
    assert page_data(sure)["finding"] == "inconclusive"  # no low rate can be measured with 60 non-members
    assert "no low false-positive rate can be measured" in page_data(sure)["verdict"]
    assert page_data(result)["verdict"].startswith("No attack did measurably better than chance")
    assert page_data(replace(result, attacks=(replace(unresolved, auc=replace(auc, low=0.51)),)))["finding"] == "leaks"


def test_an_attack_has_one_look_in_all_charts():
    """A colour meant one attack beside the ROC and another beside the power curve; the fifteenth had the eighth's."""
    found = looks([f"attack {number}" for number in range(21)])
    assert len({(look["colour"], look["style"]) for look in found.values()}) == 21
    page = dict(write_page(result()))["index.html"].decode()
    key = r'<path class="" d="M0,4 H24" style="stroke: var\(--c(\d)\)"/></svg>rmia</li>'
    assert set(re.findall(key, page)) == {"1"} and len(re.findall(key, page)) == 2


def test_print_keeps_headings_and_keys(opened):
    """Headings were lost on all pages but the first, and the colours of the legend on all."""
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        button = opened.find_element(By.CSS_SELECTOR, "#exposed thead button")
        assert button.value_of_css_property("display") == "contents"  # a box would not be repeated
        swatch = opened.find_element(By.CSS_SELECTOR, ".swatch")
        assert swatch.value_of_css_property("print-color-adjust") == "exact"
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
