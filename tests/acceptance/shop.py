"""The sample shop, the tracker and the dashboard together, in headless Chromium.

A purchase in the shop and its refund under an open dashboard, to the cent and within a second; the
server killed and started again under both; every page of the shop in both languages; the tracker
offline, on leaving, without consent, in two tabs, with blocked storage; panels that are not drawn
again; the first paint; axe-core on every page; dead letters tried again.

    python tests/acceptance/shop.py --binary target/debug/tradewind
    python tests/acceptance/shop.py --url http://127.0.0.1:8080 --pictures /tmp/pictures

With `--url` it only takes pictures, of a demo that runs: each page at three widths, light and dark.

Guarantees: a page that says anything on the browser's console, or that asks for anything its policy
refuses, fails; amounts are compared as exact decimals. Times are printed beside their bounds.
Left out: other browsers.
"""

import argparse
import decimal
import http.server
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

from playwright.sync_api import sync_playwright

import common
import dashboard
import server
from dashboard import AXE, PATIENCE_MS, QUIET, WIDTHS, Page

WEB = common.PROJECT / "web"
PAGES = {"home": "/shop", "category": "/shop?category=Kitchen", "search": "/shop?q=tea", "nothing": "/shop?q=zeppelin",
         "product": "/shop/p/1016", "cart": "/shop/cart", "checkout": "/shop/checkout", "orders": "/shop/orders"}
HEADINGS = {
    "en": {"home": "Good things for home and away", "category": "Kitchen", "search": "Results for “tea”",
           "nothing": "Results for “zeppelin”", "product": "Chef's knife, 20 cm", "cart": "Your cart",
           "checkout": "Checkout", "orders": "Your orders"},
    "zh-CN": {"home": "居家与远行的好物", "category": "厨房", "search": "“tea”的搜索结果", "nothing": "“zeppelin”的搜索结果",
              "product": "主厨刀，20 厘米", "cart": "您的购物车", "checkout": "结账", "orders": "您的订单"},
}
WORDS = {
    "en": {"agree": "Agree", "add": "Add to cart", "pay": "Pay", "refund": "Refund", "yes": "Yes, refund"},
    "zh-CN": {"agree": "同意", "add": "加入购物车", "pay": "支付", "refund": "退款", "yes": "确认退款"},
}
# What a page may take until something of it is painted, and what an order until it is seen.
PAINT_MS_MAX = 1_000
SEEN_S_MAX = 1.0


def wait_for(what, seconds=PATIENCE_MS / 1000):
    """Until it is true; whether it came to be."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        if what():
            return True
        time.sleep(0.05)
    return False


def count(url, sql):
    """The number a query answers with."""
    return int(common.sql(url, sql)[0][0])


def shop_page(browser, url, language="en", agree=True, **context):
    """A page of the shop, its question about consent answered."""
    shown = Page(browser, locale=language, **context)
    shown.page.goto(f"{url}/shop")
    shown.page.locator("h1").wait_for()
    if agree:
        shown.page.get_by_role("button", name=WORDS[language]["agree"], exact=True).click()
    return shown


def fill_cart(shown, url, language="en", product="1016"):
    """One product in the cart, by its page."""
    shown.page.goto(f"{url}/shop/p/{product}")
    shown.page.get_by_role("button", name=WORDS[language]["add"]).click()
    shown.page.locator(".count", has_text="1").wait_for()


def buy(shown, url, language="en"):
    """What is in the cart is ordered: the order's id, its total, and when the back end had answered."""
    shown.page.goto(f"{url}/shop/checkout")
    total = decimal.Decimal(shown.page.locator("[data-total]").get_attribute("data-total")) / 100
    with shown.page.expect_response(lambda answer: answer.url.endswith("/shop/api/orders") and
                                    answer.request.method == "POST") as answer:
        shown.page.get_by_role("button", name=WORDS[language]["pay"]).click()
    order = answer.value.json()
    answered = time.monotonic()
    return order["order_id"], total, answered


def every_page(browser, url, report):
    """Every page of the shop in both languages, with a purchase and a refund in each."""
    for language, headings in HEADINGS.items():
        shown = shop_page(browser, url, language)
        fill_cart(shown, url, language)
        for name, path in PAGES.items():
            if name == "orders":
                buy(shown, url, language)
                shown.page.locator(".thanks").wait_for()
            shown.page.goto(f"{url}{path}")
            shown.page.locator("h1").first.wait_for()
            report.figure(f"shop {language}", name, headings[name], shown.page.locator("h1").first.inner_text())
            report.figure(f"shop {language}", f"{name}: language", language,
                          shown.page.locator("html").get_attribute("lang"))
        words = WORDS[language]
        shown.page.locator(".order button").first.click()
        shown.page.get_by_role("button", name=words["yes"]).click()
        shown.page.locator(".tag.back").wait_for()
        # By keyboard alone: the skip link, then the first product.
        shown.page.goto(f"{url}/shop")
        shown.page.locator(".card").first.wait_for()
        shown.page.keyboard.press("Tab")
        shown.page.keyboard.press("Enter")
        shown.page.locator(".card").first.focus()
        shown.page.keyboard.press("Enter")
        shown.page.locator(".buy").wait_for()
        report.figure(f"shop {language}", "said on the console", "", "; ".join(shown.said))
        shown.context.close()


def to_the_cent(browser, started, report):
    """A purchase raises gross and net by exactly its total, a refund lowers net alone; over a kill too."""
    url = started.url
    board = Page(browser)
    board.page.goto(f"{url}/?zone=UTC&currency=EUR")
    shown = shop_page(browser, url)
    gross, net, _ = dashboard.sums(url, "EUR")
    board.wait_for("live-gross", gross)
    fill_cart(shown, url)
    order_id, total, answered = buy(shown, url)
    gross, net = gross + total, net + total
    board.wait_for("live-gross", gross)
    took = time.monotonic() - answered
    print(f"  a purchase of {total} is on the dashboard {took:.3f} s after the shop was answered")
    report.figure("a purchase", "gross", gross, board.figure("live-gross"))
    report.figure("a purchase", "net", net, board.figure("live-net"))
    report.figure("a purchase", "within a second", True, took < SEEN_S_MAX)
    row = common.sql(url, f"SELECT total, currency FROM orders WHERE order_id = '{order_id}'")[0]
    report.figure("a purchase", "in orders", total, row[0])

    shown.page.goto(f"{url}/shop/orders")
    shown.page.get_by_role("button", name=f"Refund order {order_id}").click()
    shown.page.get_by_role("button", name="Yes, refund").click()
    shown.page.locator(".tag.back").wait_for()
    asked = time.monotonic()
    net -= total
    board.wait_for("live-net", net)
    print(f"  its refund is there {time.monotonic() - asked:.3f} s after the shop was answered")
    report.figure("a refund", "net", net, board.figure("live-net"))
    report.figure("a refund", "gross", gross, board.figure("live-gross"))

    started.stop(signal.SIGKILL)
    banner = board.page.locator(".banner")
    banner.wait_for()
    report.figure("server gone", "the dashboard says so", True, "as of" in banner.inner_text())
    fill_cart_offline(shown)
    shown.page.get_by_role("button", name="Pay").click()
    shown.page.locator(".trouble").wait_for()
    report.figure("server gone", "the shop says so", "The shop cannot be reached",
                  shown.page.locator(".trouble").inner_text())
    started.start()
    with shown.page.expect_response(lambda answer: answer.url.endswith("/shop/api/orders")) as answer:
        shown.page.get_by_role("button", name="Pay").click()
    total = decimal.Decimal(answer.value.json()["total_minor"]) / 100
    gross, net = gross + total, net + total
    board.wait_for("live-gross", gross)
    report.figure("server back", "gross", gross, board.figure("live-gross"))
    report.figure("server back", "net", net, board.figure("live-net"))
    banner.wait_for(state="detached")
    for name, expected, actual in zip(("gross", "net"), dashboard.sums(url, "EUR"), (gross, net)):
        report.figure("server back", f"{name} as SQL has it", expected, actual)
    shown.page.goto(f"{url}/shop/orders")
    report.figure("server back", "orders of the customer", 2, wait_count(shown.page.locator(".order"), 2))
    for page in (board, shown):
        report.figure("purchase", "said on the console", "", "; ".join(page.said))
        page.context.close()


def wait_count(locator, wanted):
    """How many there are, when there are as many or patience has ended."""
    wait_for(lambda: locator.count() == wanted, 10)
    return locator.count()


def fill_cart_offline(shown):
    """The checkout with something in the cart, by the page's own links: the server is away."""
    shown.page.locator(".mark").click()
    shown.page.locator(".card").first.click()
    shown.page.get_by_role("button", name="Add to cart").click()
    shown.page.get_by_role("link", name="Go to cart").click()
    shown.page.get_by_role("link", name="To the checkout").click()


def stories(url, report):
    """What the shop's pages have told: the way to an order, by one visitor in one session."""
    names = [row[0] for row in common.sql(url, """
        SELECT DISTINCT CASE WHEN type = 'track' THEN event ELSE type END FROM events""")]
    for name in ("Cart Viewed", "Checkout Started", "Order Completed", "Order Refunded", "Product Added",
                 "Product List Viewed", "Product Viewed", "identify", "page"):
        report.figure("stories", name, True, name in names)
    strangers = count(url, """
        SELECT count(*) FROM orders AS o WHERE o.order_id LIKE 'S-%' AND NOT EXISTS (
            SELECT 1 FROM events AS e WHERE e.visitor_id = o.visitor_id AND e.event = 'Checkout Started')""")
    report.figure("stories", "orders of visitors nobody saw", 0, strangers)


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """A page of another origin with the tracker on it."""

    def do_GET(self):
        """One page, whatever is asked for."""
        body = self.server.page.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing."""


SNIPPET = """<!doctype html><title>Elsewhere</title><link rel="icon" href="data:,"><script>
!function(){var a=window.analytics=window.analytics||[];if(!a.initialize){a.invoked=!0;
a.methods=["page","track","identify","group","alias","reset","ready","consent","on"];
a.factory=function(m){return function(){a.push([m].concat([].slice.call(arguments)));return a}};
for(var i=0;i<a.methods.length;i++)a[a.methods[i]]=a.factory(a.methods[i]);
a.load=function(k,o){var s=document.createElement("script");s.async=!0;s.src="URL/tw.js";
document.head.appendChild(s);a._writeKey=k;a._loadOptions=o};
a.load("demo",OPTIONS);a.page()}}();</script>"""


def elsewhere(url, options="undefined"):
    """A server of another origin whose page has the snippet; its address and its end."""
    other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    other.page = SNIPPET.replace("URL", url).replace("OPTIONS", options)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{other.server_port}", other


def kept(page):
    """What the browser keeps for the page."""
    return page.evaluate("() => JSON.stringify([Object.keys(localStorage), document.cookie])")


def loaded(page):
    """Until the tracker has taken over."""
    page.wait_for_function("() => window.analytics && window.analytics.initialized === true")


def events_named(url, name):
    """How many events of a name there are, and how many of them have ids of their own."""
    row = common.sql(url, f"SELECT count(*), count(DISTINCT message_id) FROM events WHERE event = '{name}'")[0]
    return " ".join(map(str, row))


def tracker(browser, url, report):
    """The tracker on a page of another origin."""
    address, other = elsewhere(url)
    seen = Page(browser)
    page = seen.page
    page.goto(f"{address}/landing?utm_source=news&utm_medium=email&utm_campaign=spring")
    loaded(page)
    page.evaluate("() => analytics.track('Began', {n: 1})")
    report.figure("tracker", "another origin", True, wait_for(lambda: events_named(url, "Began") == "1 1"))
    campaign = common.sql(url, """SELECT JSON_VALUE(context, '$.campaign.medium'), JSON_VALUE(context, '$.campaign.name')
        FROM events WHERE event = 'Began'""")[0]
    report.figure("tracker", "campaign", "email spring", " ".join(map(str, campaign)))

    # Offline, then online: nothing lost, nothing twice.
    seen.context.set_offline(True)
    for number in range(5):
        page.evaluate(f"() => analytics.track('Offline', {{n: {number}}})")
    page.wait_for_timeout(1_500)
    report.figure("tracker offline", "events", "0 0", events_named(url, "Offline"))
    seen.context.set_offline(False)
    report.figure("tracker online", "events", True, wait_for(lambda: events_named(url, "Offline") == "5 5"))

    # An answer that is lost: sent again, counted once.
    lost = []

    def lose(route):
        if lost:
            route.continue_()
            return
        lost.append(route.fetch().status)
        route.abort()

    page.route("**/v1/batch", lose)
    page.evaluate("() => analytics.track('Lost answer')")
    wait_for(lambda: events_named(url, "Lost answer") == "1 1")
    report.figure("tracker", "a lost answer, sent again", True,
                  wait_for(lambda: "tw_q_" not in kept(page)))
    report.figure("tracker", "counted once", "1 1", events_named(url, "Lost answer"))
    page.unroute("**/v1/batch")

    # Leaving at once: a beacon takes it, the next page sends it again, and it is one event.
    page.evaluate("() => { analytics.track('Left'); location.href = '/next' }")
    page.wait_for_url("**/next")
    loaded(page)
    report.figure("tracker leaving", "event", True, wait_for(lambda: events_named(url, "Left") == "1 1"))
    report.figure("tracker leaving", "nothing kept", True, wait_for(lambda: "tw_q_" not in kept(page)))

    # Two tabs are one visitor in one session, whatever they send at once.
    twin = seen.context.new_page()
    twin.goto(f"{address}/twin")
    loaded(twin)
    for number in range(10):
        for tab in (page, twin):
            tab.evaluate(f"() => analytics.track('Twins', {{n: {number}}})")
    report.figure("two tabs", "events", True, wait_for(lambda: events_named(url, "Twins") == "20 20"))
    who = common.sql(url, """SELECT count(DISTINCT anonymous_id), count(DISTINCT JSON_VALUE(context, '$.sessionId'))
        FROM events WHERE event = 'Twins'""")[0]
    report.figure("two tabs", "visitors and sessions", "1 1", " ".join(map(str, who)))

    # Somebody logs in, and out.
    first = page.evaluate("() => analytics.user().anonymousId()")
    page.evaluate("() => analytics.identify('ada', {plan: 'gold'})")
    report.figure("identify", "id and traits", "ada gold",
                  page.evaluate("() => analytics.user().id() + ' ' + analytics.user().traits().plan"))
    page.evaluate("() => analytics.reset()")
    report.figure("reset", "another visitor", True, page.evaluate("() => analytics.user().anonymousId()") != first)
    report.figure("reset", "nobody", None, page.evaluate("() => analytics.user().id()"))
    report.figure("tracker", "said on the console", "", "; ".join(
        one for one in seen.said if "ERR_INTERNET_DISCONNECTED" not in one and "ERR_FAILED" not in one))
    seen.context.close()
    other.shutdown()


def silence(browser, url, report):
    """Consent, Do-Not-Track, Global Privacy Control, and storage that is blocked."""
    address, other = elsewhere(url, '{consent: "required"}')
    seen = Page(browser)
    asked = []
    seen.page.on("request", lambda request: "/v1/" in request.url and asked.append(request.url))
    seen.page.goto(f"{address}/consent")
    loaded(seen.page)
    seen.page.evaluate("() => analytics.track('Before consent')")
    seen.page.wait_for_timeout(1_000)
    report.figure("no consent", "requests", 0, len(asked))
    report.figure("no consent", "kept", '[[],""]', kept(seen.page))
    seen.page.evaluate("() => analytics.consent({analytics: true, advertising: false})")
    report.figure("consent", "what was held is sent", True,
                  wait_for(lambda: events_named(url, "Before consent") == "1 1"))
    said = common.sql(url, "SELECT consent FROM events WHERE event = 'Before consent'")[0][0]
    report.figure("consent", "stands beside the event", False,
                  json.loads(said)["categoryPreferences"]["advertising"])
    seen.page.evaluate("() => analytics.consent(false)")
    seen.page.evaluate("() => analytics.track('After refusal')")
    seen.page.wait_for_timeout(1_000)
    report.figure("consent taken back", "kept", '[[],""]', kept(seen.page))
    report.figure("consent taken back", "events", "0 0", events_named(url, "After refusal"))
    seen.context.close()
    other.shutdown()

    address, other = elsewhere(url)
    for signal_name, script in (
            ("DNT", "Object.defineProperty(navigator, 'doNotTrack', {get: () => '1'})"),
            ("GPC", "Object.defineProperty(navigator, 'globalPrivacyControl', {get: () => true})")):
        seen = Page(browser)
        seen.context.add_init_script(script)
        asked = []
        seen.page.on("request", lambda request, asked=asked: "/v1/" in request.url and asked.append(request.url))
        seen.page.goto(f"{address}/silent")
        loaded(seen.page)
        seen.page.evaluate("() => { analytics.track('Silent'); analytics.identify('ada'); analytics.consent(true) }")
        seen.page.wait_for_timeout(1_000)
        report.figure(signal_name, "requests", 0, len(asked))
        report.figure(signal_name, "kept", '[[],""]', kept(seen.page))
        report.figure(signal_name, "visitor", None, seen.page.evaluate("() => analytics.user().anonymousId()"))
        seen.context.close()

    seen = Page(browser)
    seen.context.add_init_script("""
        Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('blocked', 'SecurityError') }});
        Object.defineProperty(document, 'cookie', {get() { throw new DOMException('blocked') }, set() { throw new DOMException('blocked') }})""")
    seen.page.goto(f"{address}/blocked")
    loaded(seen.page)
    seen.page.evaluate("() => { analytics.track('Blocked storage'); analytics.track('Blocked storage') }")
    report.figure("blocked storage", "events", True, wait_for(lambda: events_named(url, "Blocked storage") == "2 2"))
    report.figure("blocked storage", "said on the console", "", "; ".join(seen.said))
    seen.context.close()
    other.shutdown()


def letters(browser, url, report):
    """A dead letter is corrected and taken in on the page Data, once."""
    broken = dashboard.event("Broken Then Mended", {}, 901)
    del broken["anonymousId"]
    dashboard.send(url, [broken])
    wait_for(lambda: count(url, "SELECT count(*) FROM dead_letters WHERE raw IS NOT NULL") > 0)
    letter = count(url, "SELECT max(topic_offset) FROM dead_letters WHERE topic = 'dead_letters'")
    seen = Page(browser)
    seen.page.goto(f"{url}/data?zone=UTC")
    seen.page.get_by_role("button", name=f"Retry dead letter {letter}", exact=True).click()
    seen.page.get_by_role("button", name="Take in").click()
    seen.page.locator(".letter .trouble").wait_for()
    report.figure("retry", "why not", True, "is required" in seen.page.locator(".letter .trouble").inner_text())
    text = seen.page.locator(".letter textarea")
    text.fill(text.input_value().replace("{", '{"anonymousId": "mended", ', 1))
    seen.page.get_by_role("button", name="Take in").click()
    seen.page.get_by_text("taken in, new events: 1").wait_for()
    report.figure("retry", "the event", True, wait_for(lambda: events_named(url, "Broken Then Mended") == "1 1"))
    report.figure("retry", "in SQL", True, wait_for(lambda: count(url, f"""
        SELECT count(*) FROM dead_letter_retries WHERE letter = {letter} AND state = 'done'""") == 1))
    status = seen.page.evaluate("""async (letter) => (await fetch("/api/dead_letters/retry", {
        method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({letter})})).status""", letter)
    report.figure("retry", "twice", 409, status)
    seen.page.reload()
    report.figure("retry", "marked", True, wait_for(lambda: seen.page.get_by_text("taken in ").count() > 0))
    said = [one for one in seen.said if "409" not in one and "422" not in one]
    report.figure("retry", "said on the console", "", "; ".join(said))
    seen.context.close()


def settle(page):
    """Waits until everything that was asked for is drawn: nothing more is for a while."""
    before, drawn, until = None, page.evaluate("() => ({...renders})"), time.time() + 60
    while drawn != before and time.time() < until:
        page.wait_for_timeout(6_000)
        before, drawn = drawn, page.evaluate("() => ({...renders})")


def renders(browser, url, report):
    """Panels whose figures have not changed are not drawn again."""
    built = WEB / "dist-profiling"
    npm = shutil.which("npm") or sys.exit("npm is not on the path")
    subprocess.run([npm, "run", "--silent", "profiling"], cwd=WEB, check=True, stdout=subprocess.DEVNULL)
    seen = Page(browser)

    def ours(route):
        path = route.request.url.removeprefix(url).split("?")[0]
        file = built / ("index.html" if path == "/" else path.removeprefix("/"))
        route.fulfill(path=file)

    seen.page.route(f"{url}/assets/**", ours)
    seen.page.route(lambda address: address.split("?")[0] == f"{url}/", ours)
    seen.page.goto(f"{url}/?zone=UTC&currency=EUR")
    _, net, _ = dashboard.sums(url, "EUR")
    seen.wait_for("live-net", net)
    seen.page.wait_for_selector(".skeleton", state="detached")
    settle(seen.page)
    # A minute that ends draws what stands by the minute.
    while time.time() % 60 > 40:
        time.sleep(1)
    seen.page.evaluate("() => { for (const id in renders) renders[id] = 0 }")
    dashboard.send(url, [dashboard.event("Order Refunded", {"order_id": "o-2", "currency": "EUR", "total": "0.25"}, 950)])
    seen.wait_for("live-net", net - decimal.Decimal("0.25"))
    seen.page.wait_for_timeout(1_000)
    drawn = seen.page.evaluate("() => renders")
    print(f"  panels drawn after a refund: {drawn}")
    report.figure("a refund", "net is drawn", True, drawn["live-net"] >= 1)
    for panel in ("live-gross", "live-orders", "live-per-minute", "live-funnel", "live-top-products", "live-latest-orders"):
        report.figure("a refund", f"{panel} is not drawn", 0, drawn.get(panel, -1))
    seen.context.close()


def first_paint(browser, url, report):
    """The first paint of the dashboard and of the shop, by the browser's own measure."""
    for name, path in {"dashboard": "/", "sales": "/sales", "shop": "/shop", "product": "/shop/p/1016"}.items():
        times = []
        for _ in range(3):
            seen = Page(browser)
            seen.page.goto(f"{url}{path}")
            seen.page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length > 0")
            times.append(seen.page.evaluate("() => performance.getEntriesByName('first-contentful-paint')[0].startTime"))
            seen.context.close()
        print(f"  first paint of {name}: {min(times):.0f} to {max(times):.0f} ms")
        report.figure("first paint", name, True, min(times) < PAINT_MS_MAX)


def accessible(browser, url, report):
    """axe-core on every page of the shop, at a phone's and a desk's width, light and dark."""
    source = AXE.read_text()
    for theme in ("light", "dark"):
        for width in ("phone", "wide"):
            size = dict(zip(("width", "height"), WIDTHS[width]))
            shown = shop_page(browser, url, agree=False, color_scheme=theme, viewport=size)
            for name, path in ({"consent": "/shop"} | PAGES).items():
                shown.page.goto(f"{url}{path}")
                shown.page.locator("h1").first.wait_for()
                shown.page.evaluate(source)
                found = shown.page.evaluate("async () => (await axe.run()).violations")
                serious = [f"{one['id']}: {one['nodes'][0]['html'][:120]}" for one in found
                           if one["impact"] in ("serious", "critical")]
                report.figure(f"axe {theme} {width}", f"shop {name}", "", "; ".join(serious))
                sideways = shown.page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
                report.figure(f"{theme} {width}", f"shop {name} fits", True, sideways <= 0)
                if name == "consent":
                    shown.page.get_by_role("button", name="Agree").click()
                    fill_cart(shown, url)
            shown.context.close()


def pictures(browser, url, folder, language):
    """Each page of the shop at three widths, light and dark."""
    folder.mkdir(parents=True, exist_ok=True)
    words = "zh-CN" if language.startswith("zh") else "en"
    for theme in ("light", "dark"):
        for width, (across, down) in WIDTHS.items():
            shown = Page(browser, color_scheme=theme, locale=language, viewport={"width": across, "height": down})
            page = shown.page
            page.goto(f"{url}/shop")
            page.locator("h1").wait_for()
            page.screenshot(path=folder / f"shop-consent-{width}-{theme}.png")
            page.get_by_role("button", name=WORDS[words]["agree"], exact=True).click()
            page.goto(f"{url}/shop/cart")
            page.locator("h1").wait_for()
            page.screenshot(path=folder / f"shop-empty-{width}-{theme}.png")
            for product in ("1014", "1004"):
                page.goto(f"{url}/shop/p/{product}")
                page.get_by_role("button", name=WORDS[words]["add"]).click()
                page.locator(".said", has_text=" · ").wait_for()
            for name, path in PAGES.items():
                if name == "orders":
                    page.goto(f"{url}/shop/checkout")
                    page.get_by_role("button", name=WORDS[words]["pay"]).click()
                    page.locator(".thanks").wait_for()
                    page.screenshot(path=folder / f"shop-thanks-{width}-{theme}.png", full_page=True)
                page.goto(f"{url}{path}")
                page.locator("h1").first.wait_for()
                page.screenshot(path=folder / f"shop-{name}-{width}-{theme}.png", full_page=True)
            if shown.said:
                print(shown.said)
            shown.context.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary")
    parser.add_argument("--url")
    parser.add_argument("--pictures", type=pathlib.Path)
    parser.add_argument("--language", default="en-GB")
    parser.add_argument("--only", help="one of the checks, by its name")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or sys.exit("chromium is not on the path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        if arguments.url:
            pictures(browser, arguments.url, arguments.pictures, arguments.language)
            return
        dashboard.away_from_midnight()
        report = common.Report()
        with server.running(arguments.binary, {"demo.shop": "true"}) as started:
            url = started.url
            dashboard.built(url)
            dashboard.send(url, dashboard.first_events())
            dashboard.wait_until_seen(url, 39)
            checks = {
                "first_paint": lambda: first_paint(browser, url, report),
                "every_page": lambda: every_page(browser, url, report),
                "to_the_cent": lambda: to_the_cent(browser, started, report),
                "stories": lambda: stories(url, report),
                "tracker": lambda: tracker(browser, url, report),
                "silence": lambda: silence(browser, url, report),
                "letters": lambda: letters(browser, url, report),
                "renders": lambda: renders(browser, url, report),
                "accessible": lambda: accessible(browser, url, report),
            }
            for name, check in checks.items():
                if arguments.only in (None, name):
                    check()
        with server.running(arguments.binary) as plain:
            for path in ("/shop", "/shop/api/catalogue", "/shop/api/orders"):
                report.figure("a server unasked", path, 404, status(f"{plain.url}{path}"))
        browser.close()
    report.finish()


def status(url):
    """What an address answers with."""
    try:
        return urllib.request.urlopen(url, timeout=60).status
    except urllib.error.HTTPError as error:
        return error.code


if __name__ == "__main__":
    main()
