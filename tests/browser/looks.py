"""Every page in light and dark, wide and narrow: nothing sticks out, everything is legible."""

from kit import OPERATOR, account, api, expect, subscribe

SIZES = [("wide", 1280, 860), ("narrow", 360, 740)]


def everywhere(run):
    account("acme")
    good = subscribe("acme", "Slack relay", description="Tells the front desk.",
                     headers=[{"name": "X-Api-Key", "value": "s3cret"}])
    subscribe("acme", "A system with a very long name that goes on and on " + "x" * 60, "/" + "y" * 300)
    subscribe("acme", "Parked", status="inactive", events=["user.created", "user.*", "device.registered"])
    for scheme in ["light", "dark"]:
        for size, width, height in SIZES:
            page = run.open(width, height, color_scheme=scheme)

            def look(name):
                run.fits()
                run.accessible(f"{name}, {scheme}, {size}")
                run.shoot(f"{name}-{scheme}-{size}", full=name != "panel")

            with run.step(f"{scheme} {size}: signing in"):
                expect(page.get_by_label("Token")).to_be_visible()
                look("sign-in")
                run.sign_in(OPERATOR)
                expect(page.get_by_role("button", name="Menu")).to_be_visible()
            with run.step(f"{scheme} {size}: the accounts"):
                page.goto(page.url.split("#")[0] + "#/accounts")
                expect(page.get_by_role("link", name="acme")).to_be_visible()
                look("accounts")
            with run.step(f"{scheme} {size}: the table"):
                page.get_by_role("link", name="acme").click()
                expect(page.get_by_role("button", name="Slack relay", exact=True)).to_be_visible()
                look("webhooks")
            with run.step(f"{scheme} {size}: the menu of a row"):
                more = page.get_by_role("row").filter(has_text="Slack relay").get_by_role("button", name="More")
                more.click()
                expect(page.get_by_role("menuitem", name="Delete")).to_be_visible()
                look("more")
                page.keyboard.press("Escape")
            with run.step(f"{scheme} {size}: the panel"):
                page.get_by_role("button", name="Slack relay", exact=True).click()
                expect(page.get_by_role("dialog")).to_be_visible()
                page.get_by_text("Advanced").click()
                look("panel")
                page.keyboard.press("Escape")
            with run.step(f"{scheme} {size}: the page of a subscription"):
                more.click()
                page.get_by_role("menuitem", name="Open").click()
                expect(page.get_by_role("heading", name="Deliveries", exact=True)).to_be_visible()
                look("subscription")
    assert api("GET", f"/accounts/acme/subscriptions/{good['id']}")["name"] == "Slack relay"
