"""A payload filter: written, refused, tried, kept, and taken away again."""

import json

from kit import RECEIVER, account, api, expect, send, token
from keyboard import tab_to
from webhooks import fault


def whole(run):
    secret = token(account("acme"))
    page = run.open()
    run.sign_in(secret)
    press = page.keyboard.press
    page.get_by_role("button", name="Create Subscription").first.click()
    panel = page.get_by_role("dialog", name="Create Webhook Subscription")
    text = panel.get_by_label("Payload filter")
    save = panel.get_by_role("button", name="Save")
    with run.step("the advanced section teaches what a filter is, by keyboard"):
        panel.get_by_label("Callback URL").fill(RECEIVER + "/hook")
        panel.get_by_label("Name", exact=True).fill("Third floor")
        panel.get_by_role("checkbox", name="User Created Event").check()
        tab_to(page, panel.get_by_text("Advanced", exact=True))
        press("Enter")
        tab_to(page, text)
        expect(panel.get_by_text("A condition over the event’s JSON")).to_be_visible()
    with run.step("what is no JSON is said at once and kept"):
        page.keyboard.type('{"path": "data.floor", "gte": 3')
        save.click()
        expect(fault(text)).to_contain_text("not valid JSON")
        expect(text).to_be_focused()
        expect(text).to_have_value('{"path": "data.floor", "gte": 3')
    with run.step("what is no filter is said with its place in it", refused=True):
        text.fill('{"and": [{"path": "dat.floor", "gte": 3}, {"path": "data.floor"}]}')
        save.click()
        expect(fault(text)).to_contain_text("and[0].path must begin with data")
        expect(fault(text)).to_contain_text("and[1] needs an operator")
        run.accessible("a filter that is refused")
    with run.step("it is tried on an event, by keyboard"):
        text.fill('{"path": "data.floor", "gte": 3}')
        tab_to(page, panel.get_by_text("Try the filter", exact=True))
        press("Enter")
        data = panel.get_by_label("Data of the event")
        expect(panel.get_by_label("Try it on")).to_have_value("user.created")
        assert isinstance(json.loads(data.input_value()), dict), data.input_value()
        data.fill('{"floor": 2}')
        tab_to(page, panel.get_by_role("button", name="Try it"))
        press("Enter")
        expect(panel.get_by_role("status").filter(has_text="Does not match")).to_be_visible()
        data.fill('{"floor": 3}')
        expect(panel.get_by_text("Does not match")).to_be_hidden()
        panel.get_by_role("button", name="Try it").click()
        expect(panel.get_by_role("status").filter(has_text="Matches:")).to_be_visible()
        run.accessible("a filter that was tried")
        run.shoot("tried")
        data.fill("[")
        panel.get_by_role("button", name="Try it").click()
        expect(fault(data)).to_contain_text("not valid JSON")
        data.fill("{}")
    with run.step("another type that is chosen can be tried as well"):
        panel.get_by_role("checkbox", name="Visitor Check In Event").check()
        panel.get_by_label("Try it on").select_option("visitor.checked_in")
        panel.get_by_role("button", name="Try it").click()
        expect(panel.get_by_role("status").filter(has_text="atch")).to_be_visible()
    with run.step("it is saved, shown, and decides what is sent"):
        save.click()
        expect(panel).to_be_hidden()
        made = api("GET", "/accounts/acme/subscriptions")["items"][0]
        assert made["filter"] == {"path": "data.floor", "gte": 3}, made
        send("acme", "e-none")
        page.get_by_role("row").filter(has_text="Third floor").get_by_role("button", name="More").click()
        page.get_by_role("menuitem", name="Open").click()
        expect(page.get_by_text('"gte": 3')).to_be_visible()
        run.accessible("a subscription with a filter")
    with run.step("left empty, it is gone"):
        page.get_by_role("button", name="Edit").click()
        panel = page.get_by_role("dialog", name="Edit Webhook Subscription")
        text = panel.get_by_label("Payload filter")
        expect(text).to_be_visible()
        assert json.loads(text.input_value()) == {"path": "data.floor", "gte": 3}
        text.fill("")
        panel.get_by_role("button", name="Save").click()
        expect(panel).to_be_hidden()
        expect(page.get_by_text('"gte": 3')).to_be_hidden()
        assert api("GET", "/accounts/acme/subscriptions")["items"][0]["filter"] is None
    for scheme, width in [("light", 1280), ("dark", 360)]:
        page = run.open(width, 800, color_scheme=scheme)
        with run.step(f"it fits: {scheme}, {width}"):
            run.sign_in(secret)
            page.get_by_role("button", name="Third floor", exact=True).click()
            panel = page.get_by_role("dialog", name="Edit Webhook Subscription")
            panel.get_by_text("Advanced", exact=True).click()
            panel.get_by_label("Payload filter").fill('{"path": "data.floor", "gte": 3}')
            panel.get_by_text("Try the filter", exact=True).click()
            panel.get_by_role("button", name="Try it").click()
            expect(panel.get_by_role("status").filter(has_text="atch")).to_be_visible()
            panel.get_by_role("button", name="Try it").scroll_into_view_if_needed()
            run.fits()
            run.accessible(f"{scheme}, {width}")
            run.shoot(f"{scheme}-{width}")
