"""The whole way with the keyboard alone."""

from kit import RECEIVER, account, api, expect, token


def focused(page):
    """Role-like description of what has the focus."""
    return page.evaluate(
        "() => { const e = document.activeElement; return e.getAttribute('aria-label') || e.innerText || e.id; }"
    )


def tab_to(page, wanted, back=False, most=90):
    """Presses Tab until `wanted` has the focus."""
    for _ in range(most):
        if wanted.count() == 1 and wanted.evaluate("(element) => element === document.activeElement"):
            return
        page.keyboard.press("Shift+Tab" if back else "Tab")
    raise AssertionError(f"Tab does not get there; it is at {focused(page)!r}")


def whole(run):
    secret = token(account("acme"))
    page = run.open()
    press = page.keyboard.press
    with run.step("sign in"):
        expect(page.get_by_label("Token")).to_be_focused()
        page.keyboard.type(secret)
        press("Enter")
        expect(page.get_by_role("button", name="Menu")).to_be_visible()
    with run.step("the first Tab skips to the content"):
        page.reload()
        expect(page.get_by_role("button", name="Menu")).to_be_visible()
        press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        press("Enter")
        expect(page.get_by_role("main")).to_be_focused()
        expect(page.get_by_role("heading", name="Webhooks", exact=True)).to_be_visible()
    with run.step("the menu opens with Enter, closes with Escape and gives the focus back"):
        menu = page.get_by_role("button", name="Menu")
        tab_to(page, menu, back=True)
        press("Enter")
        tab_to(page, page.get_by_role("link", name="Admin", exact=True))
        press("Escape")
        expect(page.get_by_role("link", name="Admin", exact=True)).to_be_hidden()
        expect(menu).to_be_focused()
        press("Enter")
        integrations = page.get_by_role("navigation").get_by_role("link", name="Integrations")
        tab_to(page, integrations)
        press("Enter")
        expect(integrations).to_be_hidden()
        expect(page.get_by_role("tab", name="Webhooks")).to_be_visible()
    with run.step("Escape closes the panel and gives the focus back"):
        create = page.get_by_role("button", name="Create Subscription").first
        tab_to(page, create)
        press("Enter")
        panel = page.get_by_role("dialog", name="Create Webhook Subscription")
        expect(panel.get_by_label("Callback URL")).to_be_focused()
        press("Escape")
        expect(panel).to_be_hidden()
        expect(create).to_be_focused()
    with run.step("the focus stays inside the panel"):
        press("Enter")
        expect(panel.get_by_label("Callback URL")).to_be_focused()
        for _ in range(75):
            press("Tab")
            inside = page.evaluate(
                "() => document.activeElement === document.body || !!document.activeElement.closest('dialog')"
            )
            assert inside, f"the focus is outside, at {focused(page)!r}"
        tab_to(page, panel.get_by_label("Callback URL"))
    with run.step("everything is filled in by keys"):
        page.keyboard.type(RECEIVER + "/hook")
        press("Tab")
        page.keyboard.type("By keys")
        tab_to(page, panel.get_by_label("Search events"))
        page.keyboard.type("created")
        tab_to(page, panel.get_by_role("checkbox", name="User Created Event"))
        press("Space")
        expect(panel.get_by_role("checkbox", name="User Created Event")).to_be_checked()
        tab_to(page, panel.get_by_role("button", name="Add Header"))
        press("Enter")
        expect(panel.get_by_label("Header name")).to_be_focused()
        page.keyboard.type("X-Key")
        press("Tab")
        page.keyboard.type("value")
        tab_to(page, panel.get_by_role("switch", name="Status"))
        press("Space")
        expect(panel.get_by_role("switch", name="Status")).not_to_be_checked()
        press("Space")
        tab_to(page, panel.get_by_role("button", name="Save"))
        press("Enter")
        expect(panel).to_be_hidden()
        made = api("GET", "/accounts/acme/subscriptions")["items"][0]
        assert (made["name"], made["status"], made["events"]) == ("By keys", "active", ["user.created"]), made
    with run.step("arrows move in the menu of a row"):
        more = page.get_by_role("button", name="More")
        tab_to(page, more)
        press("Enter")
        entries = page.get_by_role("menuitem")
        expect(entries.first).to_be_focused()
        press("ArrowDown")
        expect(entries.nth(1)).to_be_focused()
        press("ArrowUp")
        press("ArrowUp")
        expect(entries.last).to_be_focused()
        press("Home")
        expect(entries.first).to_be_focused()
        press("End")
        expect(entries.last).to_be_focused()
        press("Escape")
        expect(entries).to_have_count(0)
        expect(more).to_be_focused()
    with run.step("deleting by keys; No is where the focus is"):
        press("ArrowDown")
        press("End")
        press("Enter")
        ask = page.get_by_role("dialog").filter(has_text="By keys")
        expect(ask.get_by_role("button", name="Cancel")).to_be_focused()
        press("Escape")
        expect(ask).to_be_hidden()
        expect(more).to_be_focused()
        press("Enter")
        press("End")
        press("Enter")
        tab_to(page, ask.get_by_role("button", name="Delete"))
        press("Enter")
        expect(page.get_by_role("heading", name="No webhook subscriptions yet")).to_be_visible()
