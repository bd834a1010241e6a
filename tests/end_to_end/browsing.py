"""Opens the pages of the running stack in Chromium with Playwright and takes screenshots."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PICTURES = os.environ.get("PICTURES")  # folder for screenshots; `make pictures` sets it
WINDOW: ViewportSize = {"width": 1280, "height": 800}
GRAPH_WINDOW: ViewportSize = {"width": 1280, "height": 1180}
PATIENCE = 60_000  # milliseconds; test machines are busy
COLOURS = 128  # enough to keep the few green pixels of a status


@contextmanager
def browsing() -> Iterator[Page]:
    """Open a window of a new browser; yield its page."""
    with sync_playwright() as playwright:
        sandbox = [] if os.getuid() else ["--no-sandbox"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        page = browser.new_page(viewport=WINDOW)
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield page
        browser.close()


def take_picture(page: Page, name: str) -> None:
    """Save a small PNG of the page if PICTURES is set."""
    if PICTURES:
        seen = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
        folder = Path(PICTURES)
        folder.mkdir(parents=True, exist_ok=True)
        small = seen.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        small.save(folder / f"{name}.png", optimize=True)


def row_of(page: Page, name: str) -> Locator:
    """Return the first table row that contains the exact text `name`."""
    return page.locator("tr", has=page.get_by_text(name, exact=True)).first


def open_graph(url: str, browser: Browser) -> None:
    """Open the asset graph in its own window, without navigation and list, since it needs the whole width."""
    page = browser.new_page(viewport=GRAPH_WINDOW)
    page.goto(f"{url}/asset-groups")
    page.get_by_text("Hide navigation").click()
    page.get_by_label("panel_show_right").last.click()  # the list of groups
    expect(page.get_by_text("planning", exact=True).last).to_be_visible()
    page.keyboard.press("Alt+e")  # expands all groups
    for asset in ("sequences_contacts", "due_contacts", "send_plan", "sends_queue", "delivery_results"):
        expect(page.get_by_text(asset, exact=True).last).to_be_visible()
    page.get_by_label("zoom_out").click()
    page.mouse.move(640, 20)
    page.wait_for_timeout(1_000)  # the graph moves
    take_picture(page, "graph")
    page.close()


def open_plan(page: Page, url: str, day: str) -> None:
    page.goto(f"{url}/assets/send_plan?view=partitions&partition={day}")
    expect(row_of(page, "waiting_by_reason")).to_be_visible()
    expect(row_of(page, "planned")).to_be_visible()
    take_picture(page, "plan")
    for chart in ("sends_by_hour", "mailbox_use"):
        row_of(page, chart).get_by_text("Show Markdown").click()
        drawn = page.locator("img[src^='data:image/png']")
        expect(drawn).to_be_visible()
        assert drawn.evaluate("image => image.naturalWidth") > 100
        take_picture(page, chart)
        page.get_by_role("button", name="Close").click()
        expect(drawn).to_have_count(0)


def open_checks(page: Page, url: str) -> None:
    page.goto(f"{url}/assets/send_plan?view=checks")
    for check in ("within_limits", "inside_windows", "one_mail_a_day", "gaps_kept", "pins_kept"):
        expect(page.get_by_text(check, exact=True).first).to_be_visible()
    expect(page.get_by_text("Succeeded").first).to_be_visible()
    expect(page.get_by_text("This is a blocking asset check", exact=False)).to_be_visible()
    take_picture(page, "checks")


def launch_backfill(page: Page, url: str, first: str, last: str) -> None:
    """Launch a backfill of the days from `first` to `last` through the UI."""
    page.goto(f"{url}/assets/send_plan")
    expect(page.get_by_text("Before you materialize a day:")).to_be_visible()
    take_picture(page, "send_plan")
    page.goto(f"{url}/locations/sequence_pipelines/jobs/daily_plan")
    page.get_by_role("button", name="Materialize all").first.click()
    days = page.get_by_role("dialog").locator("input[type=text]").first
    days.fill(f"[{first}...{last}]")
    days.press("Enter")
    launch = page.get_by_role("button", name="Launch backfill")
    expect(launch).to_be_enabled()
    take_picture(page, "backfill")
    launch.click()
    expect(launch).to_be_hidden()


def open_replayed(page: Page, url: str, day: str) -> None:
    page.goto(f"{url}/assets/send_plan?view=partitions&partition={day}")
    became = row_of(page, "what_became_of_them")
    expect(became).to_be_visible()
    became.scroll_into_view_if_needed()
    take_picture(page, "replayed")


def switch_on(page: Page, url: str, schedule: str) -> None:
    page.goto(f"{url}/locations/sequence_pipelines/schedules/{schedule}")
    switch = page.locator("input[type=checkbox]").first
    expect(switch).to_be_attached()
    expect(switch).not_to_be_checked()
    switch.dispatch_event("click")
    expect(page.get_by_text("Next tick").first).to_be_visible()
    expect(switch).to_be_checked()
    take_picture(page, "schedule")


def open_ticks(page: Page, url: str, sensor: str) -> None:
    page.goto(f"{url}/locations/sequence_pipelines/sensors/{sensor}")
    page.get_by_role("button", name="0 runs requested").last.click()
    skip_reason = re.compile("No undispatched send|a run that dispatches them is queued or running")
    expect(page.get_by_text(skip_reason).first).to_be_visible()
    take_picture(page, "ticks")


def open_api(page: Page, url: str) -> None:
    page.goto(f"{url}/docs")
    expect(page.get_by_text("/sequences", exact=True).first).to_be_visible()
    take_picture(page, "api")


def open_mails(page: Page, url: str, subject: str) -> None:
    page.goto(url)
    expect(page.get_by_text(subject).first).to_be_visible()
    take_picture(page, "mails")
