"""A subscription's page: deliveries as they happen, what was said, tests, resending, recovering, charts."""

import re

from kit import RECEIVER, account, api, expect, send, subscribe, token


def whole(run):
    secret = token(account("acme"))
    subscribe("acme", "Front desk", "/hook")
    subscribe("acme", "Broken", "/breaks", events=["device.registered"])
    page = run.open()
    run.sign_in(secret)
    menuitem = lambda name: page.get_by_role("menuitem", name=name)
    more = page.get_by_role("main").locator(".page-head").first.get_by_role("button", name="More")
    deliveries = page.get_by_role("region", name="Deliveries", exact=True)
    row = lambda event: deliveries.get_by_role("row").filter(has_text=event)

    with run.step("the page of a subscription"):
        page.get_by_role("row").filter(has_text="Front desk").get_by_role("button", name="More").click()
        menuitem("Open").click()
        expect(page.get_by_role("heading", name="Front desk")).to_be_visible()
        expect(page.get_by_text("Nothing has been sent yet.")).to_be_visible()
        expect(deliveries.get_by_text("Live", exact=True)).to_be_visible()
        run.accessible("a subscription without deliveries")
    with run.step("deliveries appear as they happen"):
        send("acme", "evt-1")
        expect(row("evt-1")).to_contain_text("Delivered")
        send("acme", "evt-2")
        expect(row("evt-2")).to_contain_text("Delivered")
        expect(deliveries.get_by_role("row").nth(1)).to_contain_text("evt-2")
        expect(page.get_by_text("All is well")).to_be_visible()
    with run.step("times have the exact one on hover"):
        assert re.search(r"20\d\d", row("evt-1").get_by_role("time").first.get_attribute("title"))
    with run.step("a row shows what was sent and what was answered"):
        deliveries.get_by_role("button", name="evt-1").click()
        dialog = page.get_by_role("dialog", name="Delivery of evt-1")
        expect(dialog.get_by_text("Delivered, 200")).to_be_visible()
        expect(dialog.get_by_label("Request", exact=True)).to_contain_text(f"POST {RECEIVER}/hook")
        expect(dialog.get_by_label("Response", exact=True)).to_contain_text("200")
        run.accessible("the attempts of a delivery")
    with run.step("it is resent from there"):
        dialog.get_by_role("button", name="Resend").click()
        expect(dialog).to_be_hidden()
        expect(row("evt-1").get_by_role("cell").nth(2)).to_have_text("2")
    with run.step("a filter by status"):
        chips = deliveries.get_by_role("group", name="Filter deliveries by status")
        chips.get_by_role("button", name="Dead").click()
        expect(deliveries.get_by_text("No deliveries of this kind.")).to_be_visible()
        chips.get_by_role("button", name="Delivered").click()
        expect(row("evt-2")).to_be_visible()
    with run.step("charts, with their figures as a table"):
        charts = page.get_by_role("region", name="Over time", exact=True)
        charts.get_by_role("button", name="1 hour").click()
        expect(charts.get_by_text("3 delivered, 0 attempts failed.")).to_be_visible()
        expect(charts.get_by_role("img", name=re.compile("3 delivered"))).to_be_visible()
        charts.get_by_text("The figures as a table").click()
        expect(charts.get_by_role("table")).to_contain_text("3")
        # Newer figures leave it open.
        charts.get_by_role("button", name="7 days").click()
        charts.get_by_role("button", name="1 hour").click()
        expect(charts.get_by_text("3 delivered, 0 attempts failed.")).to_be_visible()
        expect(charts.get_by_role("img", name=re.compile("3 delivered"))).to_be_visible()
        expect(charts.get_by_role("table")).to_be_visible()
        run.accessible("charts")
        run.shoot("page", full=True)
    with run.step("a test event, and its outcome"):
        page.get_by_role("button", name="Send test event").click()
        dialog = page.get_by_role("dialog", name="Send test event")
        dialog.get_by_label("Event type").select_option("device.registered")
        dialog.get_by_role("button", name="Send").click()
        expect(dialog.get_by_text("Delivered, 200")).to_be_visible()
        expect(dialog.get_by_label("Request", exact=True)).to_contain_text("webhook-id: evt_test_")
        run.accessible("a test event")
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
    with run.step("the secret is shown and rotated"):
        card = page.get_by_role("region", name="Secret")
        card.get_by_role("button", name="Reveal").click()
        expect(card.get_by_text(re.compile("^whsec_[A-Za-z0-9+/=]{20}"))).to_be_visible()
        before = card.locator("code").first.inner_text()
        more.click()
        menuitem("Rotate secret").click()
        page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
        expect(card.locator("code").first).not_to_have_text(before)
        expect(card.get_by_text("The secret before it is valid until")).to_be_visible()
    with run.step("a receiver that fails is told of in words"):
        page.get_by_role("link", name="Webhooks", exact=False).first.click()
        page.get_by_role("row").filter(has_text="Broken").get_by_role("button", name="More").click()
        menuitem("Open").click()
        expect(deliveries.get_by_text("Live", exact=True)).to_be_visible()
        send("acme", "evt-3", "device.registered")
        expect(row("evt-3")).to_contain_text("Dead")
        expect(page.get_by_text(re.compile("Their server refused 2 of the last 2 requests"))).to_be_visible()
        run.accessible("a subscription in trouble")
    with run.step("what was missed is counted and recovered"):
        page.get_by_role("button", name="Recover", exact=True).click()
        dialog = page.get_by_role("dialog", name="Recover deliveries of “Broken”")
        dialog.get_by_role("button", name="Count").click()
        expect(dialog.get_by_text("1 delivery would be sent again.")).to_be_visible()
        run.accessible("a recovery")
        dialog.get_by_role("button", name="Recover", exact=True).click()
        expect(dialog.get_by_role("progressbar", name="Progress")).to_be_visible()
        expect(dialog.get_by_text("Done. 1 of 1 delivery.")).to_be_visible()
        dialog.get_by_role("button", name="Close").click()
        expect(row("evt-3")).to_contain_text("Delivered")


def paused(run):
    """A host that fails is left alone, and the page says until when."""
    secret = token(account("acme"))
    broken = subscribe("acme", "Broken", "/fails")
    page = run.open()
    run.sign_in(secret)
    deliveries = page.get_by_role("region", name="Deliveries", exact=True)
    with run.step("the page says when the host is tried again"):
        page.get_by_role("row").filter(has_text="Broken").get_by_role("button", name="More").click()
        page.get_by_role("menuitem", name="Open").click()
        expect(page.get_by_role("heading", name="Broken")).to_be_visible()
        for number in range(4):
            send("acme", f"evt-{number}")
        expect(page.get_by_text(re.compile(r"We leave their host alone and try it again in \d+ (s|min), with one request"))).to_be_visible()
        run.accessible("a subscription whose host is left alone")
        run.shoot("paused")
    with run.step("an attempt says that its subscription was changed since"):
        note = page.get_by_role("dialog").get_by_text("The subscription was changed after this attempt.")
        deliveries.get_by_role("button", name="evt-0").click()
        expect(page.get_by_role("dialog").get_by_label("Request", exact=True)).to_contain_text("/fails")
        expect(note).to_have_count(0)
        page.keyboard.press("Escape")
        api("PATCH", f"/accounts/acme/subscriptions/{broken['id']}", {"callbackUrl": RECEIVER + "/moved"})
        deliveries.get_by_role("button", name="evt-0").click()
        expect(note).to_be_visible()
        expect(page.get_by_role("dialog").get_by_label("Request", exact=True)).to_contain_text("/moved")
        run.shoot("changed-since")
