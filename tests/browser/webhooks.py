"""The Webhooks page as the mission describes it, step by step."""

from kit import OPERATOR, RECEIVER, account, api, expect, subscribe, token

GROUPS = ["Visitor Management", "Reservation", "Analytics", "Reservation IoT", "User", "Device"]


def described(run):
    secret = token(account("acme"))
    page = run.open()
    with run.step("a wrong token does not sign in", refused=True):
        expect(page.get_by_role("heading", name="Postrider")).to_be_visible()
        run.accessible("signing in")
        run.sign_in("prt_wrong")
        expect(page.get_by_role("alert")).to_contain_text("not valid")
        expect(page.get_by_label("Token")).to_be_focused()
    with run.step("the right one does"):
        run.sign_in(secret)
        expect(page.get_by_role("button", name="Menu")).to_be_visible()
    with run.step("menu, Admin, Integrations, tab Webhooks"):
        run.to_webhooks()
    with run.step("the empty page teaches"):
        expect(page.get_by_role("heading", name="No webhook subscriptions yet")).to_be_visible()
        expect(page.get_by_text("curl --unix-socket")).to_be_visible()
        run.accessible("the empty page")
    with run.step("Create Subscription opens the panel"):
        page.get_by_role("button", name="Create Subscription").first.click()
        panel = page.get_by_role("dialog", name="Create Webhook Subscription")
        expect(panel).to_be_visible()
        for label in ["Callback URL", "Name", "Description", "Search events"]:
            expect(panel.get_by_label(label, exact=True)).to_be_visible()
        expect(panel.get_by_role("switch", name="Status")).to_be_checked()
        run.accessible("the panel")
    with run.step("events stand in their groups, named as in the catalogue"):
        types = api("GET", "/event-types?limit=250")["items"]
        for name in GROUPS:
            group = panel.get_by_role("group", name=name, exact=True)
            members = [one for one in types if one["group"] == name]
            assert members, name
            for one in members:
                expect(group.get_by_role("checkbox", name=one["name"], exact=True)).to_have_count(1)
    with run.step("a whole group is chosen at once"):
        device = panel.get_by_role("group", name="Device", exact=True)
        device.get_by_role("checkbox", name="All of Device").check()
        expect(device.get_by_role("checkbox", name="Device Registered Event")).to_be_checked()
        device.get_by_role("checkbox", name="Device Registered Event").uncheck()
        assert device.get_by_role("checkbox", name="All of Device").evaluate("(box) => box.indeterminate")
        device.get_by_role("checkbox", name="All of Device").check()
        device.get_by_role("checkbox", name="All of Device").uncheck()
        expect(device.get_by_role("checkbox", name="Device Registered Event")).not_to_be_checked()
    with run.step("events are searched"):
        panel.get_by_label("Search events").fill("check in")
        expect(panel.get_by_role("checkbox", name="Visitor Check In Event")).to_be_visible()
        expect(panel.get_by_role("checkbox", name="User Created Event")).to_be_hidden()
        panel.get_by_role("checkbox", name="Visitor Check In Event").check()
        panel.get_by_label("Search events").fill("")
        panel.get_by_role("checkbox", name="User Created Event").check()
        expect(panel.get_by_text("2 of 39 chosen")).to_be_visible()
    with run.step("custom headers are added and taken away"):
        for name, value in [("X-Api-Key", "s3cret"), ("X-Team", "blue"), ("X-Gone", "no")]:
            panel.get_by_role("button", name="Add Header").click()
            expect(panel.get_by_label("Header name").last).to_be_focused()
            panel.get_by_label("Header name").last.fill(name)
            panel.get_by_label("Header value").last.fill(value)
        panel.get_by_role("button", name="Remove header X-Gone").click()
        expect(panel.get_by_label("Header name")).to_have_count(2)
    with run.step("Save makes a row"):
        panel.get_by_label("Callback URL").fill(RECEIVER + "/hook?a=1&b=2")
        panel.get_by_label("Name", exact=True).fill("Slack relay <b>")
        panel.get_by_label("Description").fill("Tells the front desk.")
        panel.get_by_role("button", name="Save").click()
        expect(panel).to_be_hidden()
        row = page.get_by_role("row").filter(has_text="Slack relay <b>")
        expect(row).to_contain_text("/hook?a=1&b=2")
        expect(row).to_contain_text("Active")
        run.accessible("the table")
    with run.step("what was saved is what was meant"):
        made = api("GET", "/accounts/acme/subscriptions")["items"][0]
        assert sorted(made["events"]) == ["user.created", "visitor.checked_in"], made
        assert [one["name"] for one in made["headers"]] == ["X-Api-Key", "X-Team"], made
        assert made["description"] == "Tells the front desk.", made
    with run.step("the name opens the panel for editing"):
        page.get_by_role("button", name="Slack relay <b>", exact=True).click()
        panel = page.get_by_role("dialog", name="Edit Webhook Subscription")
        expect(panel.get_by_label("Name", exact=True)).to_have_value("Slack relay <b>")
        expect(panel.get_by_label("Header name").first).to_have_value("X-Api-Key")
        assert "s3cret" not in panel.get_by_label("Header value").first.input_value()
        panel.get_by_role("switch", name="Status").uncheck()
        panel.get_by_label("Name", exact=True).fill("Slack relay")
        panel.get_by_role("button", name="Save").click()
        row = page.get_by_role("row").filter(has_text="Slack relay")
        expect(row).to_contain_text("Inactive")
        assert api("GET", "/accounts/acme/subscriptions")["items"][0]["status"] == "inactive"
    with run.step("closing the panel changes nothing"):
        page.get_by_role("button", name="Slack relay", exact=True).click()
        panel = page.get_by_role("dialog", name="Edit Webhook Subscription")
        panel.get_by_label("Name", exact=True).fill("Other")
        panel.get_by_role("button", name="Cancel").click()
        expect(panel).to_be_hidden()
        expect(page.get_by_role("button", name="Slack relay", exact=True)).to_be_focused()
    with run.step("More, Delete asks, naming it, and can be called off"):
        row.get_by_role("button", name="More").click()
        page.get_by_role("menuitem", name="Delete").click()
        ask = page.get_by_role("dialog").filter(has_text="Slack relay")
        run.accessible("the question")
        ask.get_by_role("button", name="Cancel").click()
        expect(ask).to_be_hidden()
        expect(row).to_be_visible()
    with run.step("More, Delete, Delete: it is gone"):
        row.get_by_role("button", name="More").click()
        page.get_by_role("menuitem", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(page.get_by_role("heading", name="No webhook subscriptions yet")).to_be_visible()
        assert api("GET", "/accounts/acme/subscriptions")["items"] == []
    with run.step("signing out"):
        page.get_by_role("button", name="Account Owner of acme").click()
        page.get_by_role("menuitem", name="Sign out").click()
        expect(page.get_by_label("Token")).to_be_focused()


def fault(field):
    """The text that the field names as what is wrong with it."""
    ids = field.get_attribute("aria-describedby").split()
    return field.page.locator(", ".join(f"#{one}.error" for one in ids))


def refused(run):
    secret = token(account("acme"))
    page = run.open()
    run.sign_in(secret)
    page.get_by_role("button", name="Create Subscription").first.click()
    panel = page.get_by_role("dialog", name="Create Webhook Subscription")
    url, name = panel.get_by_label("Callback URL"), panel.get_by_label("Name", exact=True)
    save = panel.get_by_role("button", name="Save")
    with run.step("everything that is missing is said at once"):
        save.click()
        for field in (url, name):
            expect(field).to_have_attribute("aria-invalid", "true")
            expect(fault(field)).to_contain_text("required")
        expect(url).to_be_focused()
        expect(panel.get_by_text("choose at least one")).to_be_visible()
        run.accessible("the panel with errors")
        assert api("GET", "/accounts/acme/subscriptions")["items"] == []
    with run.step("a bad URL", refused=True):
        name.fill("Broken")
        panel.get_by_role("checkbox", name="User Created Event").check()
        for bad in ["example.com/hook", "ftp://example.com/", "https://user:pw@example.com/", "https://example.com/#x"]:
            url.fill(bad)
            save.click()
            expect(fault(url)).not_to_be_empty()
            expect(name).not_to_have_attribute("aria-invalid", "true")
            expect(save).to_be_enabled()
    with run.step("a bad header", refused=True):
        url.fill(RECEIVER + "/hook")
        for bad in ["Host", "Content-Length", "webhook-id", "not a name"]:
            panel.get_by_role("button", name="Add Header").click()
            panel.get_by_label("Header name").fill(bad)
            panel.get_by_label("Header value").fill("x")
            save.click()
            header = panel.get_by_label("Header name")
            expect(header).to_have_attribute("aria-invalid", "true")
            expect(fault(header)).not_to_be_empty()
            panel.get_by_role("button", name=f"Remove header {bad}").click()
    with run.step("a bad option opens what is advanced", refused=True):
        panel.get_by_text("Advanced").click()
        panel.get_by_label("Requests at once").fill("100000")
        panel.get_by_text("Advanced").click()
        save.click()
        at_once = panel.get_by_label("Requests at once")
        expect(at_once).to_be_visible()
        expect(fault(at_once)).not_to_be_empty()
        at_once.fill("")
    with run.step("mended, it is saved"):
        save.click()
        expect(panel).to_be_hidden()
        expect(page.get_by_role("button", name="Broken", exact=True)).to_be_visible()
    with run.step("what somebody else has changed meanwhile is not overwritten", refused=True):
        page.get_by_role("button", name="Broken", exact=True).click()
        panel = page.get_by_role("dialog", name="Edit Webhook Subscription")
        expect(panel).to_be_visible()
        sub = api("GET", "/accounts/acme/subscriptions")["items"][0]
        api("PATCH", f"/accounts/acme/subscriptions/{sub['id']}", {"name": "Theirs"})
        panel.get_by_role("button", name="Save").click()
        expect(panel.get_by_role("alert")).to_contain_text("somebody else has changed")


def many(run):
    account("acme")
    for at in range(60):
        subscribe("acme", f"relay {at:02}", f"/many/{at % 7}")
    page = run.open()
    run.sign_in(OPERATOR)
    with run.step("the operator chooses an account"):
        # The bar is drawn anew with the page that follows the sign-in.
        expect(page.get_by_role("heading", name="Accounts", exact=True)).to_be_visible()
        page.get_by_role("button", name="Menu").click()
        page.get_by_role("link", name="Accounts").click()
        page.get_by_role("link", name="acme").click()
        expect(page.get_by_text("60 subscriptions")).to_be_visible()
    rows = page.get_by_role("row").filter(has_text="relay")
    with run.step("a table has pages"):
        expect(rows).to_have_count(25)
        expect(page.get_by_role("button", name="Previous")).to_be_disabled()
        page.get_by_role("button", name="Next").click()
        page.get_by_role("button", name="Next").click()
        expect(rows).to_have_count(10)
        expect(page.get_by_text("Page 3 of 3")).to_be_visible()
        expect(page.get_by_role("button", name="Next")).to_be_disabled()
    with run.step("a search finds by name and by URL"):
        search = page.get_by_label("Search subscriptions")
        search.fill("relay 07")
        expect(rows).to_have_count(1)
        expect(page.get_by_text("1 of 60 match")).to_be_visible()
        search.fill("/many/3")
        expect(rows).to_have_count(9)
        search.fill("no such thing")
        expect(rows).to_have_count(0)
        expect(page.get_by_text("Nothing matches")).to_be_visible()
        run.accessible("a search without result")
