"""The dashboard in headless Chromium, against a server with orders whose sums are known.

Every page in both languages; the figures against what SQL answers; an order and a refund under an
open page; the server killed and started again under it; a day of updates at speed; the reader's own
panels, and a file that is none; axe-core on every page, light and dark.

    python tests/acceptance/dashboard.py --binary target/debug/tradewind
    python tests/acceptance/dashboard.py --url http://127.0.0.1:8080 --pictures /tmp/pictures

With `--url` it only takes pictures, of a server that runs: each page at three widths, light and dark.

Guarantees: a page that says anything on the browser's console, or that asks for anything its policy
refuses, fails; figures are compared as exact decimals. How long an order takes to be seen is printed.
Left out: other browsers.
"""

import argparse
import base64
import contextlib
import datetime
import decimal
import json
import pathlib
import re
import shutil
import signal
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from playwright.sync_api import sync_playwright

import common
import server

AXE = common.PROJECT / "web" / "node_modules" / "axe-core" / "axe.min.js"
# Without these the browser looks for its maker's servers at every start.
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--js-flags=--expose-gc"]
PATIENCE_MS = 60_000
PAGES = {"live": "/", "sales": "/sales", "data": "/data", "sql": "/sql"}
HEADINGS = {
    "en": {"live": "Live", "sales": "Sales", "data": "Data", "sql": "SQL"},
    "zh-CN": {"live": "实时", "sales": "销售", "data": "数据", "sql": "SQL"},
}
WIDTHS = {"phone": (390, 844), "middle": (1024, 800), "wide": (1600, 1000)}
# What a day of changes may leave behind in a tab: noise of the collector, not a copy of them.
GROWTH_BYTES_MAX = 4 << 20
HOURS = 24

OWN_PANEL = """
page = "warehouse"
chart = "table"
y = ["answer"]
title.en = "My own figure"
data.sql = "SELECT 6 * 7 AS answer"
"""


def event(name, properties, number, at=None):
    """A tracking call; its id follows from the number."""
    at = at or datetime.datetime.now(datetime.UTC)
    return {"type": "track", "event": name, "messageId": f"dashboard-{number}",
            "anonymousId": f"visitor-{number % 7}", "timestamp": at.isoformat(),
            "context": {"location": {"country": "DE"}, "campaign": {"medium": "email"}},
            "properties": properties}


def order(number, currency, total, at=None):
    """An order of one product."""
    return event("Order Completed", {
        "order_id": f"o-{number}", "currency": currency, "total": total,
        "products": [{"product_id": "p1", "name": "Mug", "category": "Kitchen", "price": total,
                      "quantity": 1}]}, number, at)


def send(url, events):
    """Sends events; they are on disk when it returns. Amounts are written from their digits."""
    body = json.dumps({"batch": events}, default=str)
    body = re.sub(r'"(total|price)": "([\d.]+)"', r'"\1": \2', body)
    key = base64.b64encode(b"demo:").decode()
    request = urllib.request.Request(f"{url}/v1/batch", data=body.encode(), headers={
        "Content-Type": "application/json", "Authorization": f"Basic {key}"})
    urllib.request.urlopen(request, timeout=60).read()


def first_events():
    """Orders of today and of last week in three currencies, a refund, visits, a broken one."""
    now = datetime.datetime.now(datetime.UTC)
    week = now - datetime.timedelta(days=7, minutes=1)
    events = [order(n, "EUR", f"{n}.01", now) for n in range(1, 21)]
    events += [order(n, "USD", f"{n}.99", now) for n in range(21, 31)]
    events += [order(n, "JPY", f"{n}000", now) for n in range(31, 36)]
    events += [order(n, "EUR", "12.34", week) for n in range(36, 40)]
    events += [event("Product Viewed", {"product_id": "p1"}, n, now) for n in range(40, 60)]
    events.append(event("Order Refunded", {"order_id": "o-1", "currency": "EUR", "total": "0.51"}, 60))
    broken = event("Product Viewed", {}, 61)
    del broken["anonymousId"]
    return [*events, broken]


def number_in(text):
    """The digits of a figure in English."""
    return decimal.Decimal(re.sub(r"[^\d.\-]", "", text))


class Page:
    """A page that must not complain."""

    def __init__(self, browser, **context):
        self.context = browser.new_context(timezone_id="UTC", **{"locale": "en-US"} | context)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.said = []
        self.page.on("console", self.hear)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))

    def hear(self, message):
        """What is on the console, but for requests that fail while the server is away."""
        away = ("ERR_CONNECTION", "ERR_INCOMPLETE", "status of 503")
        if message.type in ("error", "warning") and not any(one in message.text for one in away):
            self.said.append(message.text)

    def figure(self, panel):
        """The number that a figure shows."""
        return number_in(self.page.locator(f"[data-panel={panel}] .value").inner_text())

    def wait_for(self, panel, value):
        """Waits until a figure shows a value; the seconds it took, and None if it never did."""
        started = time.monotonic()
        while time.monotonic() - started < PATIENCE_MS / 1000:
            if self.page.locator(f"[data-panel={panel}] .value").count() and \
                    self.figure(panel) == value:
                return time.monotonic() - started
            time.sleep(0.02)
        return None


def sums(url, currency):
    """Today's gross, net and orders of a currency, as SQL has them."""
    rows = common.sql(url, f"""
        SELECT gross, net, orders FROM sales_per_day
        WHERE currency = '{currency}' AND sold_day = CURRENT_DATE""")
    return [common.exact(value) for value in rows[0]] if rows else [decimal.Decimal(0)] * 3


def wait_until_seen(url, orders):
    """Until SQL has so many orders."""
    for _ in range(600):
        # The table answers from the start, the view when it has caught up.
        for seen in ("SELECT count(*) FROM orders", "SELECT sum(orders) FROM sales_per_day"):
            with contextlib.suppress(SystemExit):
                if common.exact(common.sql(url, seen)[0][0]) == orders:
                    continue
            break
        else:
            return
        time.sleep(0.1)
    sys.exit(f"{orders} orders were not seen")


def built(url):
    """The binary and the checks need what `npm` makes and fetches."""
    with urllib.request.urlopen(f"{url}/", timeout=60) as answer:
        if b"/assets/" not in answer.read() or not AXE.exists():
            sys.exit("the binary has no dashboard: run scripts/dashboard.sh build, then build it again")


def away_from_midnight():
    """Today must not end under the checks, and be some minutes old."""
    now = datetime.datetime.now(datetime.UTC)
    minutes = (now.hour * 60 + now.minute + 15) % (24 * 60)
    if minutes < 18:
        time.sleep((18 - minutes) * 60)


def every_page(browser, url, report):
    """Every page in both languages: its heading, no trouble, no panel that failed."""
    for language, headings in HEADINGS.items():
        shown = Page(browser, locale=language)
        for name, path in PAGES.items():
            shown.page.goto(f"{url}{path}?zone=UTC")
            heading = shown.page.locator("h1").inner_text()
            report.figure(f"{language} {name}", "heading", headings[name], heading)
            if name == "sql":
                shown.page.get_by_role("button", name="Run" if language == "en" else "运行").click()
            shown.page.wait_for_selector(".skeleton", state="detached")
            report.figure(f"{language} {name}", "panels that failed", 0,
                          shown.page.locator(".state.error").count())
            report.figure(f"{language} {name}", "language of the page", language,
                          shown.page.locator("html").get_attribute("lang"))
        # By keyboard alone: the skip link, then the pages.
        shown.page.goto(f"{url}/?zone=UTC")
        shown.page.locator("h1").wait_for()
        for _ in range(3):
            shown.page.keyboard.press("Tab")
        shown.page.keyboard.press("Enter")
        shown.page.locator("h1", has_text=headings["sales"]).wait_for()
        report.figure(language, "said on the console", "", "; ".join(shown.said))
        shown.context.close()


def figures(browser, url, report):
    """Every figure of Live and Sales in each currency against SQL."""
    shown = Page(browser)
    for currency in ("EUR", "USD", "JPY"):
        gross, net, orders = sums(url, currency)
        shown.page.goto(f"{url}/?zone=UTC&currency={currency}")
        shown.wait_for("live-gross", gross)
        for panel, value in (("live-gross", gross), ("live-net", net), ("live-orders", orders)):
            report.figure(f"live {currency}", panel, value, shown.figure(panel))
        shown.page.goto(f"{url}/sales?zone=UTC&currency={currency}&days=1")
        shown.wait_for("sales-gross", gross)
        for panel, value in (("sales-gross", gross), ("sales-net", net), ("sales-orders", orders)):
            report.figure(f"sales {currency}", panel, value, shown.figure(panel))
    before = shown.page.goto(f"{url}/?zone=UTC&currency=EUR") and \
        shown.page.locator("[data-panel=live-gross] .compare").inner_text()
    report.figure("live EUR", "a week before", True, "49.36" in before)
    shown.page.goto(f"{url}/sql")
    shown.page.locator(".cm-content").click()
    shown.page.keyboard.press("Control+a")
    shown.page.keyboard.type("SELECT sum(total) AS all_orders FROM orders WHERE currency = 'EUR'")
    shown.page.keyboard.press("Escape")
    shown.page.keyboard.press("Control+Enter")
    cell = shown.page.locator(".result tbody td").first.inner_text()
    # Typing over what is selected, the browser itself would keep its looks by a style: it is
    # refused, which the editor does not miss.
    shown.said = [one for one in shown.said if "Applying inline style" not in one]
    expected = common.sql(url, "SELECT sum(total) FROM orders WHERE currency = 'EUR'")[0][0]
    report.figure("sql", "an answer", expected, cell)
    with shown.page.expect_download() as download:
        shown.page.get_by_role("button", name="Download CSV").click()
    csv = pathlib.Path(download.value.path()).read_text()
    report.figure("sql", "the download", f"all_orders\n{expected}\n", csv.replace("\r\n", "\n"))
    shown.page.get_by_role("button", name="Plan").click()
    plan = shown.page.locator("pre.plan").inner_text()
    report.figure("sql", "a plan", True, "Aggregate" in plan)
    shown.page.goto(f"{url}/data")
    letters = shown.page.locator("[data-panel=data-deadLetters]")
    letters.get_by_text("is required").first.wait_for()
    report.figure("data", "pipelines", common.sql(url, "SELECT count(*) FROM sys.pipelines")[0][0],
                  shown.page.locator("[data-panel=data-pipelines] tbody tr").count())
    shown.page.get_by_role("button", name="Pause funnel_per_day").click()
    shown.page.get_by_role("button", name="Resume funnel_per_day").click()
    shown.page.get_by_role("button", name="Pause funnel_per_day").wait_for()
    report.figure("figures", "said on the console", "", "; ".join(shown.said))
    shown.context.close()


def money_and_restart(browser, started, report):
    """An order, a refund, and the server's death, under one open page."""
    url = started.url
    shown = Page(browser)
    shown.page.goto(f"{url}/?zone=UTC&currency=EUR")
    gross, net, _ = sums(url, "EUR")
    shown.wait_for("live-net", net)
    send(url, [order(100, "EUR", "19.99")])
    gross, net = gross + decimal.Decimal("19.99"), net + decimal.Decimal("19.99")
    took = shown.wait_for("live-gross", gross)
    print(f"  an order is on the page {took} s after it was answered")
    report.figure("an order", "gross", gross, shown.figure("live-gross"))
    report.figure("an order", "net", net, shown.figure("live-net"))
    send(url, [event("Order Refunded", {"order_id": "o-100", "currency": "EUR", "total": "5.49"}, 101)])
    net -= decimal.Decimal("5.49")
    shown.wait_for("live-net", net)
    report.figure("a refund", "gross", gross, shown.figure("live-gross"))
    report.figure("a refund", "net", net, shown.figure("live-net"))

    started.stop(signal.SIGKILL)
    banner = shown.page.locator(".banner")
    banner.wait_for()
    report.figure("server gone", "the page says so", True, "as of" in banner.inner_text())
    report.figure("server gone", "what was known stays", gross, shown.figure("live-gross"))
    started.start()
    send(url, [order(102, "EUR", "0.02")])
    gross, net = gross + decimal.Decimal("0.02"), net + decimal.Decimal("0.02")
    shown.wait_for("live-gross", gross)
    report.figure("server back", "gross", gross, shown.figure("live-gross"))
    report.figure("server back", "net", net, shown.figure("live-net"))
    banner.wait_for(state="detached")
    for name, expected, actual in zip(("gross", "net"), sums(url, "EUR"), (gross, net)):
        report.figure("server back", f"{name} as SQL has it", expected, actual)
    report.figure("restart", "said on the console", "", "; ".join(shown.said))
    shown.context.close()


def own_panels(browser, started, report):
    """A reader's own panel stands on a page of its own; a bad file is named."""
    folder = started.data_dir / "panels"
    folder.mkdir()
    (folder / "mine.toml").write_text(OWN_PANEL)
    (folder / "typo.toml").write_text(OWN_PANEL.replace("chart =", "chrat ="))
    shown = Page(browser)
    shown.page.goto(f"{started.url}/")
    problem = shown.page.locator(".problems")
    problem.wait_for()
    report.figure("own panels", "the bad file is named", True,
                  "typo.toml" in problem.inner_text() and "chrat" in problem.inner_text())
    shown.page.get_by_role("link", name="warehouse").click()
    shown.page.get_by_role("heading", name="My own figure").wait_for()
    report.figure("own panels", "its answer", "42",
                  shown.page.locator(".rows tbody td").first.inner_text())
    report.figure("own panels", "said on the console", "", "; ".join(shown.said))
    shown.context.close()
    shutil.rmtree(folder)


def updates(address, sent):
    """An hour of changes, one a second, as the server would write them to whoever asks there."""
    def row(number):
        minute = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:00:00Z")
        amount = f"{number}.000000"
        return ["default", "EUR", minute, number, amount, "0.000000", amount]

    columns = [{"name": name, "type": "STRING"} for name in
               ("store_id", "currency", "sold_minute", "orders", "gross", "refunded", "net")]
    views = [value for name, value in urllib.parse.parse_qsl(urllib.parse.urlsplit(address).query)
             if name == "view"]
    followed = [place for place, view in enumerate(views) if view == "sales_per_minute"]
    events = [("snapshot", 0, {"at": place, "last": True, "columns": columns,
                               "rows": [row(0)] if place in followed else []})
              for place in range(len(views))]
    events += [("changes", second, {"at": place, "delete": [row(second)], "insert": [row(second + 1)]})
               for second in range(3_600) for place in followed]
    return "".join(f"event: {name}\nid: {sent}-{number}\ndata: {json.dumps(data)}\n\n"
                   for name, number, data in events)


def heap_after(browser, url, hours, report):
    """Bytes that a tab holds after so many hours of updates, and then silence."""
    shown = Page(browser)
    connections = []

    def hour(route):
        if "sales_per_minute" in route.request.url:
            connections.append(route.request.url)
        if len(connections) > hours:
            route.abort()
        else:
            route.fulfill(body=updates(route.request.url, len(connections)),
                          content_type="text/event-stream")

    shown.page.route("**/api/live*", hour)
    shown.page.goto(f"{url}/?zone=UTC&currency=EUR")
    while len(connections) <= hours + 1:
        shown.page.wait_for_timeout(100)
    # The last change of an hour stands.
    report.figure(f"{hours} hours of updates", "gross", 3_600, shown.figure("live-gross"))
    profiler = shown.context.new_cdp_session(shown.page)
    profiler.send("HeapProfiler.enable")
    sizes = []
    for _ in range(5):
        shown.page.wait_for_timeout(500)
        profiler.send("HeapProfiler.collectGarbage")
        sizes.append(profiler.send("Runtime.getHeapUsage")["usedSize"])
    shown.context.close()
    return min(sizes)


def day_of_updates(browser, url, report):
    """What a day of changes leaves behind in a tab, against an hour of them."""
    first, last = heap_after(browser, url, 1, report), heap_after(browser, url, HOURS, report)
    print(f"  a tab's heap: {first >> 10} KiB after an hour of updates, {last >> 10} KiB after {HOURS}")
    report.figure("a day of updates", "the heap has grown", False, last > first + GROWTH_BYTES_MAX)


def accessible(browser, url, report):
    """axe-core on every page, at a phone's and a desk's width, light and dark."""
    source = AXE.read_text()
    for theme in ("light", "dark"):
        for width in ("phone", "wide"):
            size = dict(zip(("width", "height"), WIDTHS[width]))
            shown = Page(browser, color_scheme=theme, viewport=size)
            for name, path in PAGES.items():
                shown.page.goto(f"{url}{path}?zone=UTC")
                shown.page.locator("h1").wait_for()
                shown.page.wait_for_selector(".skeleton", state="detached")
                shown.page.evaluate(source)
                found = shown.page.evaluate("async () => (await axe.run()).violations")
                serious = [f"{one['id']}: {one['nodes'][0]['html'][:120]}" for one in found
                           if one["impact"] in ("serious", "critical")]
                report.figure(f"axe {theme} {width}", name, "", "; ".join(serious))
            shown.context.close()


def headers(url, report):
    """What the files are sent with."""
    def get(path, **sent):
        request = urllib.request.Request(f"{url}{path}", headers=sent)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, b""

    status, sent, page = get("/")
    report.figure("files", "policy", True, "default-src 'none'" in sent["Content-Security-Policy"])
    report.figure("files", "page is asked for again", "no-cache", sent["Cache-Control"])
    report.figure("files", "and is the same", 304, get("/", **{"If-None-Match": sent["ETag"]})[0])
    script = re.search(r'src="(/assets/[^"]+\.js)"', page.decode()).group(1)
    status, sent, plain = get(script)
    report.figure("files", "scripts are kept", True, "immutable" in sent["Cache-Control"])
    status, sent, small = get(script, **{"Accept-Encoding": "gzip, br"})
    report.figure("files", "and compressed", "br", sent["Content-Encoding"])
    report.figure("files", "to less than half", True, len(small) < len(plain) / 2)
    report.figure("files", "what is not there", 404, get("/assets/none.js")[0])
    elsewhere = get("/api/live?view=sales_per_day", Origin="https://elsewhere.example")[0]
    report.figure("files", "other origins", 403, elsewhere)


def pictures(browser, url, folder, language):
    """Each page at three widths, light and dark."""
    folder.mkdir(parents=True, exist_ok=True)
    for theme in ("light", "dark"):
        for width, (across, down) in WIDTHS.items():
            shown = Page(browser, color_scheme=theme, locale=language,
                         viewport={"width": across, "height": down})
            for name, path in PAGES.items():
                shown.page.goto(f"{url}{path}")
                shown.page.locator("h1").wait_for()
                if name == "sql":
                    shown.page.locator("button.primary").click()
                shown.page.wait_for_selector(".skeleton", state="detached")
                shown.page.wait_for_timeout(1_500)
                shown.page.screenshot(path=folder / f"{name}-{width}-{theme}.png", full_page=True)
            if shown.said:
                print(shown.said)
            shown.context.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary")
    parser.add_argument("--url")
    parser.add_argument("--pictures", type=pathlib.Path)
    parser.add_argument("--language", default="en-GB")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or sys.exit("chromium is not on the path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        if arguments.url:
            pictures(browser, arguments.url, arguments.pictures, arguments.language)
            return
        away_from_midnight()
        report = common.Report()
        with server.running(arguments.binary) as started:
            built(started.url)
            send(started.url, first_events())
            wait_until_seen(started.url, 39)
            headers(started.url, report)
            every_page(browser, started.url, report)
            figures(browser, started.url, report)
            accessible(browser, started.url, report)
            money_and_restart(browser, started, report)
            own_panels(browser, started, report)
            day_of_updates(browser, started.url, report)
        browser.close()
    report.finish()


if __name__ == "__main__":
    main()
