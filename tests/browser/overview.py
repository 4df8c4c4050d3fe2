"""The operator's overview, live."""

from kit import OPERATOR, account, expect, send, subscribe, token


def whole(run):
    secret = token(account("acme"))
    subscribe("acme", "Good", "/hook")
    subscribe("acme", "Broken", "/fails", events=["device.registered"])
    page = run.open()
    with run.step("the operator finds it in the menu"):
        run.sign_in(OPERATOR)
        expect(page.get_by_role("heading", name="Accounts", exact=True)).to_be_visible()
        page.get_by_role("button", name="Menu").click()
        page.get_by_role("link", name="Overview").click()
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        expect(page.get_by_text("2 subscriptions of 1 account")).to_be_visible()
        expect(page.get_by_text("No host fails, and none is behind.")).to_be_visible()
        run.accessible("an idle overview")
    with run.step("it is live: what happens is in it"):
        for at in range(30):
            send("acme", f"evt-{at}", "device.registered")
        hosts = page.get_by_role("region", name="Hosts in trouble")
        expect(hosts.get_by_role("row").filter(has_text="127.0.0.1")).to_be_visible()
        tile = page.locator(".tile").filter(has_text="Oldest undelivered")
        expect(tile).not_to_contain_text("nothing waits")
        for name in ["Attempts a second", "Events accepted", "Delay from", "Deliveries that wait"]:
            expect(page.get_by_role("img", name=name)).to_be_visible()
        run.accessible("a busy overview")
        run.shoot("wide", full=True)
    with run.step("it fits a narrow screen, and the dark"):
        page.set_viewport_size({"width": 360, "height": 740})
        page.emulate_media(color_scheme="dark")
        run.fits()
        run.accessible("a narrow overview")
        run.shoot("narrow", full=True)
    with run.step("it is the operator's alone"):
        page = run.open()
        run.sign_in(secret)
        expect(page.get_by_role("tab", name="Webhooks")).to_be_visible()
        page.get_by_role("button", name="Menu").click()
        expect(page.get_by_role("link", name="Integrations")).to_be_visible()
        expect(page.get_by_role("link", name="Overview")).to_have_count(0)
