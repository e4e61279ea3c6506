"""The page in a real browser: what people do with it, and what hostile data cannot."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from serve_app.keys import add_key
from serve_app.problems import Problem
from tests.browser.conftest import PATIENCE, Open
from tests.browser.fake_gateway import DAY, HOSTILE, HOSTILE_USER, NOW, PARTS, Service
from tests.conftest import SmallRun
from tests.integration.ray_head import environment

ROOT = Path(__file__).parents[2]
AXE = Path(__file__).parent / "axe.min.js"
expect.set_options(timeout=PATIENCE)


def places(page: Page):
    return page.locator("#items > li")


def wait_for(done: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE / 1000
    while not done():
        assert time.monotonic() < end, what
        time.sleep(0.05)


@pytest.fixture
def page(open_page: Open, service: Service) -> Page:
    """The page with the first answer on it. It must not complain, whatever a test does with it."""
    page, watch = open_page(service.url)
    expect(places(page)).to_have_count(10)
    yield page
    assert watch.complaints == []
    assert watch.origins() == {service.url}


def test_a_user_is_found_and_picked_by_keyboard_alone(page: Page, service: Service):
    user = page.locator("#user")
    while not user.evaluate("element => element === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.type("an")
    expect(page.get_by_role("option")).to_have_text(["anna40 events", "anton30 events"])
    expect(user).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    picked = page.locator("#" + str(user.get_attribute("aria-activedescendant")))
    expect(picked).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(user).to_have_attribute("aria-expanded", "false")
    expect(page.locator("#who")).to_have_text("User anton: 30 events")
    wait_for(lambda: service.gateway.asked[-1].user_id == "anton", "anton's list was not asked for")

    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option")).to_have_count(4)
    page.keyboard.press("Escape")
    expect(page.get_by_role("option")).to_have_count(0)
    page.keyboard.type("zz")
    expect(page.get_by_role("option")).to_have_text("No user begins with zz")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(user).to_have_value("anton")


def test_somebody_new_is_asked_for_without_a_name(page: Page, service: Service):
    page.get_by_role("button", name="Somebody new").click()
    expect(page.locator("#told")).to_contain_text("no history before then")
    assert service.gateway.asked[-1].user_id is None and service.gateway.asked[-1].explain


def test_the_slider_asks_again_as_of_its_moment_and_once(page: Page, service: Service):
    assert service.gateway.asked[-1].at is None
    before, slider = len(service.gateway.asked), page.get_by_label("As of", exact=True)
    slider.focus()
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
    wait_for(lambda: len(service.gateway.asked) > before, "the list was not asked for again")
    page.wait_for_timeout(600)
    assert len(service.gateway.asked) == before + 1
    at = service.gateway.asked[-1].at
    assert at == int(slider.input_value()) and NOW - 80 * DAY <= at < NOW
    words = page.locator("#moment-words")
    expect(words).to_contain_text(time.strftime("%H:%M:%S UTC", time.gmtime(at)))
    expect(page.locator("#who")).to_contain_text("of them before then")
    page.get_by_role("button", name="Now", exact=True).click()
    expect(words).to_contain_text("now, ")
    wait_for(lambda: service.gateway.asked[-1].at is None, "it was not asked as of now again")


def test_history_is_a_picture_and_a_list(page: Page, service: Service):
    picture = page.get_by_role("img", name=re.compile("^40 events from .* to "))
    expect(picture.locator(".event")).to_have_count(40)
    page.get_by_text("History as a list").click()
    rows = page.locator("#events li")
    expect(rows).to_have_count(40)
    rows.nth(4).get_by_role("button").click()
    expect(rows).to_have_count(35)
    wait_for(lambda: service.gateway.asked[-1].at == NOW - 10 * DAY, "it was not asked as of that event")
    expect(picture.locator(".event.later")).to_have_count(5)


def test_parts_add_up_and_those_that_speak_against_stand_left_of_zero(page: Page):
    bar = page.get_by_role("img", name=re.compile("^taste "))
    expect(bar).to_have_count(10)
    told = bar.first.get_attribute("aria-label")
    assert told == "taste +1.50, momentum +0.75, habit −0.50, context −0.25, baseline +0.10; together 1.60"
    zero = float(bar.first.locator(".zero").get_attribute("x1"))
    drawn = {
        part.get_attribute("data-part"): (float(part.get_attribute("x")), float(part.get_attribute("width")))
        for part in bar.first.locator(".part").all()
    }
    unit = drawn["taste"][1] / PARTS["taste"]
    for name, (x, width) in drawn.items():
        assert width == pytest.approx(abs(PARTS[name]) * unit)
        assert x >= zero - 1e-6 if PARTS[name] > 0 else x + width <= zero + 1e-6
    bar.first.focus()
    expect(bar.first.locator(".numbers")).to_be_visible()
    page.keyboard.press("Escape")
    expect(bar.first.locator(".numbers")).to_be_hidden()


def test_taking_an_item_posts_an_event_and_tells_what_changed(page: Page, service: Service):
    page.get_by_role("button", name="take it now: Title 1", exact=True).click()
    expect(page.locator("#changed")).to_contain_text("You took Title 1: 1 new, 8 moved up, 1 moved down, 1 gone.")
    expect(page.locator("#changed")).to_contain_text("Gone: Title 1 (was 2)")
    (event,) = service.gateway.events
    assert (event.user_id, event.item_id, event.event, event.timestamp) == ("anna", "i1", "buy", None)
    assert event.event_id
    assert service.gateway.asked[-1].at is None
    expect(page.locator("#items .badge")).to_have_text(["↑ 2up 2", "↓ 1down 1", *["↑ 1up 1"] * 7, "newnew"])
    expect(page.locator("#who")).to_have_text("User anna: 41 events")
    expect(page.locator("#list")).to_be_focused()


def test_somebody_new_has_a_name_after_taking_something(page: Page, service: Service):
    page.get_by_role("button", name="Somebody new").click()
    expect(page.locator("#told")).to_be_visible()
    page.get_by_role("button", name="take it now: Title 2", exact=True).click()
    expect(page.locator("#who")).to_contain_text("1 event")
    (event,) = service.gateway.events
    assert re.fullmatch("guest-[0-9a-f]{8}", event.user_id)
    assert service.gateway.asked[-1].user_id == event.user_id


def test_filters_go_with_the_question(page: Page, service: Service):
    page.get_by_label("Category").fill("bread")
    page.get_by_label("Diversity").focus()
    page.keyboard.press("ArrowRight")
    expect(places(page)).to_have_count(6)
    assert (service.gateway.asked[-1].category, service.gateway.asked[-1].diversity) == ("bread", 0.1)
    page.get_by_label("Exclude what is in the history").check()
    expect(page.locator("#empty")).to_contain_text("Nothing fits")
    assert {"i0", "i1"} <= set(service.gateway.asked[-1].exclude)


def test_an_item_opens_with_its_forecast_and_what_is_like_it(page: Page, service: Service):
    page.get_by_role("button", name="Title 3", exact=True).click()
    expect(page.locator("#item-title")).to_be_focused()
    picture = page.get_by_role("img", name=re.compile(r"forecast for the day from .*: 3 \(1 to 6\)"))
    expect(picture.locator(".count")).to_have_count(30)
    expect(picture.locator(".band")).to_have_count(1)
    expect(page.locator("#similar li")).to_have_count(3)
    page.get_by_text("As a table").click()
    expect(page.locator("#series-table tbody tr")).to_have_count(34)
    page.locator("#similar").get_by_role("button", name="Title 1", exact=True).click()
    expect(page.locator("#item-title")).to_have_text("Title 1")
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("button", name="Title 1", exact=True)).to_be_focused()


def test_an_item_shows_nothing_of_a_moment_before_it_was_known(page: Page, service: Service):
    page.get_by_role("button", name="Title 3", exact=True).click()
    expect(page.get_by_role("img", name=re.compile("forecast for the day")).locator(".count")).to_have_count(30)
    service.gateway.first = NOW
    page.get_by_label("As of", exact=True).focus()
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
    expect(page.locator("#series")).to_have_text("Nothing happened with it before then.")
    expect(page.locator("#similar li")).to_have_count(0)
    expect(page.locator("#problem")).to_be_hidden()


def test_what_an_answer_lacks_is_told_in_words(page: Page, service: Service):
    service.gateway.degraded = ["encoder", "store"]
    service.gateway.missing = {"encoder"}
    page.get_by_role("button", name="Now", exact=True).click()
    expect(page.locator("#told")).to_contain_text("The encoder did not answer in time")
    expect(page.locator("#told")).to_contain_text("The event store cannot be reached")
    expect(page.locator("#parts li").first).to_have_text("▲encodernot ok")
    expect(page.locator("#parts li").last).to_have_text("●storeokseq 0")
    expect(page.locator("#p95")).to_contain_text("ms")


def test_hostile_words_are_words(page: Page):
    expect(places(page).first.locator(".title")).to_have_text(HOSTILE)
    expect(places(page).first.locator(".category")).to_have_text('"onload="x')
    page.locator("#user").click()
    page.get_by_role("option", name=HOSTILE_USER).click()
    expect(page.locator("#who")).to_have_text(f"User {HOSTILE_USER}: 3 events")
    page.get_by_text("History as a list").click()
    expect(page.locator("#events .name").first).to_contain_text(HOSTILE)
    places(page).first.locator(".title").click()
    expect(page.locator("#item-title")).to_have_text(HOSTILE)
    places(page).first.locator(".take").click()
    expect(page.locator("#changed")).to_contain_text(HOSTILE)
    expect(page.locator("#similar li")).to_have_count(2)
    assert page.evaluate("window.pwned") is None
    assert page.locator("main img, main script, main b, main u").count() == 0


def test_an_item_without_a_title_goes_by_its_id(page: Page):
    page.get_by_role("button", name="Somebody new").click()
    page.get_by_label("Category").fill("fruit")
    expect(places(page)).to_have_count(7)
    page.get_by_label("Category").fill("")
    page.locator("#user").click()
    page.get_by_role("option", name=HOSTILE_USER).click()
    page.get_by_label("Exclude what is in the history").check()
    expect(places(page).first.locator(".title")).to_have_text("Title 3")
    for _ in range(3):
        page.locator(".take").first.click()
        expect(page.locator("#changed")).to_be_visible()
    expect(places(page).last.locator(".title")).to_have_text("<u>i14</u>")


def test_a_refusal_is_shown_as_its_sentence(open_page: Open, service: Service):
    page, _ = open_page(service.url)
    expect(places(page)).to_have_count(10)
    service.gateway.problem = Problem(422, "k: 10 is more than the 5 that one request may have")
    page.get_by_role("button", name="Now", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="more than the 5")).to_be_visible()
    service.gateway.problem = None
    page.get_by_role("button", name="Now", exact=True).click()
    expect(page.locator("#problem")).to_be_hidden()


def test_a_key_is_asked_for_where_one_is_needed_and_sent(open_page: Open, tmp_path: Path):
    key = add_key(tmp_path / "keys", "page")
    service = Service(tmp_path / "keys")
    try:
        page, watch = open_page(service.url)
        field = page.get_by_label("API key")
        expect(field).to_be_visible()
        assert service.gateway.asked == []
        for path in ("v1/users", "page/../v1/users", "openapi.json"):
            with pytest.raises(urllib.error.HTTPError, match="401|404"):
                urllib.request.urlopen(f"{service.url}/{path}")
        field.fill("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#key-problem")).to_have_text("This key was not accepted.")
        field.fill(key)
        page.get_by_role("button", name="Use this key").click()
        expect(places(page)).to_have_count(10)
        expect(field).to_be_hidden()
        page.reload()
        expect(places(page)).to_have_count(10)
        assert not any(key in url for url in watch.urls)
        assert page.evaluate("[Object.keys(localStorage), document.cookie]") == [[], ""]
    finally:
        service.stop()


def test_a_server_that_goes_away_is_told_and_found_again(open_page: Open, service: Service):
    page, _ = open_page(service.url)
    expect(places(page)).to_have_count(10)
    service.stop()
    expect(page.locator("#down")).to_contain_text("cannot be reached")
    expect(page.locator("#parts .not-ok")).to_have_count(4)
    asked = len(service.gateway.asked)
    service.start()
    expect(page.locator("#down")).to_be_hidden()
    expect(page.locator("#parts .ok")).to_have_count(4)
    wait_for(lambda: len(service.gateway.asked) > asked, "the list was not asked for again")


def test_files_have_their_types_and_a_strict_policy(service: Service):
    types = {
        "/": "text/html",
        "/page/main.js": "text/javascript",
        "/page/style.css": "text/css",
        "/page/icon.svg": "image/svg+xml",
    }
    for path, kind in types.items():
        with urllib.request.urlopen(service.url + path) as answer:
            assert answer.headers.get_content_type() == kind
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
    for path in ("/page/none.js", "/page/..%2Fhttp.py"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(service.url + path)


def test_light_and_dark_follow_the_system_until_somebody_chooses(open_page: Open, service: Service):
    page, _ = open_page(service.url, color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Switch to light colours").click()
    light = page.evaluate(ground)
    assert sum(map(int, re.findall(r"\d+", dark))) < 150 < 600 < sum(map(int, re.findall(r"\d+", light)))
    page.reload()
    assert page.evaluate(ground) == light


@pytest.mark.parametrize("width", [360, 700, 1280, 2200])
def test_nothing_is_wider_than_the_window(open_page: Open, service: Service, width: int):
    page, _ = open_page(service.url, viewport={"width": width, "height": 800})
    expect(places(page)).to_have_count(10)
    places(page).first.locator(".title").click()
    expect(page.locator("#similar li")).to_have_count(2)
    page.locator(".take").first.click()
    expect(page.locator("#changed")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(open_page: Open, service: Service, scheme: str):
    service.gateway.degraded = ["forecaster"]
    page, _ = open_page(service.url, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce")
    expect(places(page)).to_have_count(10)
    places(page).nth(3).locator(".title").click()
    expect(page.locator("#similar li")).to_have_count(3)
    page.get_by_text("As a table").click()
    page.get_by_text("History as a list").click()
    page.locator(".take").first.click()
    expect(page.locator("#changed")).to_be_visible()
    page.locator("#user").click()
    expect(page.get_by_role("option")).to_have_count(4)
    page.keyboard.press("ArrowDown")
    page.add_script_tag(path=str(AXE))
    found = page.evaluate("axe.run()")
    told = [(one["id"], one["help"], [node["html"][:200] for node in one["nodes"]]) for one in found["violations"]]
    grave = [line for line, one in zip(told, found["violations"], strict=True) if one["impact"] in ("serious", "critical")]
    assert grave == []


@pytest.mark.slow
def test_the_real_server_shows_recommends_and_learns(open_page: Open, small_run: SmallRun, tmp_path: Path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "timerec.cli", "serve", "--bundle", str(small_run.bundle), "--store", str(tmp_path / "events.db"),
        "--clock", "log", "--port", str(port),
    ]  # fmt: skip
    log = tmp_path / "serve.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            command, cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT, env={**environment(), "PYTHONPATH": str(ROOT)}
        )
    try:
        end = time.monotonic() + 300
        while "ready: " not in log.read_text():
            assert server.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.5)
        page, watch = open_page(f"http://127.0.0.1:{port}/")
        expect(places(page)).to_have_count(10)
        expect(page.locator("#parts .ok")).to_have_count(4)
        places(page).first.locator(".title").click()
        expect(page.locator("#series svg")).to_be_visible()
        page.locator(".take").first.click()
        expect(page.locator("#changed")).to_contain_text("You took ")
        expect(page.locator("#parts li").last).to_contain_text("seq 1")
        assert watch.complaints == []
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=120)
