"""Who sees and may do what."""

from kit import OPERATOR, account, api, expect, subscribe, token

FLAG = "feature.integrations.webhooks"


def rights(run):
    account("acme")
    subscribe("acme", "Slack relay")
    for what, secret in [
        ("a viewer", token("acme", role="viewer")),
        ("an owner without the licence", token("acme", platform_user=False)),
    ]:
        page = run.open()
        with run.step(f"{what} reads"):
            run.sign_in(secret)
            run.to_webhooks()
            expect(page.get_by_role("row").filter(has_text="Slack relay")).to_be_visible()
        with run.step(f"{what} does not create, and is told why"):
            create = page.get_by_role("button", name="Create Subscription")
            expect(create).to_have_count(0)
            expect(page.get_by_text("Platform User licence")).to_be_visible()
        with run.step(f"{what} does not change or delete"):
            page.get_by_role("button", name="More").click()
            expect(page.get_by_role("menuitem", name="Open")).to_be_visible()
            for name in ["Delete", "Edit", "Rotate secret"]:
                expect(page.get_by_role("menuitem", name=name)).to_have_count(0)
            page.keyboard.press("Escape")
            page.get_by_role("button", name="Slack relay", exact=True).click()
            panel = page.get_by_role("dialog", name="Webhook Subscription")
            expect(panel.get_by_label("Callback URL")).to_be_disabled()
            expect(panel.get_by_role("button", name="Save")).to_have_count(0)
            page.keyboard.press("Escape")
        with run.step(f"{what} does not see the secret"):
            page.get_by_role("button", name="More").click()
            page.get_by_role("menuitem", name="Open").click()
            expect(page.get_by_role("heading", name="Slack relay")).to_be_visible()
            expect(page.get_by_role("region", name="Secret")).to_have_count(0)
            run.accessible("the page of a subscription")
    page = run.open()
    with run.step("a service account does not sign in", refused=True):
        body = {"name": "robot", "kind": "service_account", "role": "account_owner", "platformUser": True}
        run.sign_in(api("POST", "/accounts/acme/tokens", body)["token"])
        expect(page.get_by_role("alert")).to_contain_text("service account")
    with run.step("an account is closed to the owner of another"):
        other = token(account("other"))
        run.sign_in(other)
        expect(page.get_by_role("heading", name="No webhook subscriptions yet")).to_be_visible()
    with run.step("a token that is taken back ends its session", refused=True):
        for one in api("GET", "/accounts/other/tokens")["items"]:
            api("DELETE", f"/accounts/other/tokens/{one['id']}")
        page.reload()
        expect(page.get_by_label("Token")).to_be_visible()


def flag(run):
    secret = token(account("acme"))
    subscribe("acme", "Slack relay")
    api("PUT", f"/accounts/acme/features/{FLAG}", {"enabled": False})
    page = run.open()
    with run.step("off: no tab, no table, a word about it"):
        run.sign_in(secret)
        expect(page.get_by_role("button", name="Menu")).to_be_visible()
        expect(page.get_by_text("turned off for this account")).to_be_visible()
        expect(page.get_by_role("tab", name="Webhooks")).to_have_count(0)
        expect(page.get_by_role("table")).to_have_count(0)
        expect(page.get_by_role("button", name="Create Subscription")).to_have_count(0)
        run.accessible("the page without webhooks")
    with run.step("on again: the tab is back"):
        api("PUT", f"/accounts/acme/features/{FLAG}", {"enabled": True})
        page.reload()
        expect(page.get_by_role("tab", name="Webhooks")).to_be_visible()
        expect(page.get_by_role("row").filter(has_text="Slack relay")).to_be_visible()
    with run.step("the operator sees the page of an account without the flag"):
        api("PUT", f"/accounts/acme/features/{FLAG}", {"enabled": False})
        page = run.open()
        run.sign_in(OPERATOR)
        # The bar is drawn anew with the page that follows the sign-in.
        expect(page.get_by_role("heading", name="Accounts", exact=True)).to_be_visible()
        page.get_by_role("button", name="Menu").click()
        page.get_by_role("link", name="Accounts").click()
        page.get_by_role("link", name="acme").click()
        expect(page.get_by_role("row").filter(has_text="Slack relay")).to_be_visible()
