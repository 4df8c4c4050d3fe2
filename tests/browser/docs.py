"""The page that describes the API: needs no token, fits, and is read by keyboard alone."""

from kit import ORIGIN, expect
from keyboard import tab_to
from looks import SIZES


def whole(run):
    for scheme in ["light", "dark"]:
        for size, width, height in SIZES:
            page = run.open(width, height, color_scheme=scheme)
            with run.step(f"{scheme} {size}: the whole of it"):
                page.goto(ORIGIN + "/docs")
                expect(page.get_by_role("heading", level=1)).to_contain_text("Postrider API")
                run.fits()
                run.accessible(f"the description, {scheme}, {size}")
                run.shoot(f"top-{scheme}-{size}")
            with run.step(f"{scheme} {size}: one operation, by its address"):
                page.goto("about:blank")
                page.goto(ORIGIN + "/docs#createSubscription")
                operation = page.locator("#createSubscription")
                expect(operation.get_by_role("heading", name="Try it")).to_be_in_viewport()
                expect(operation.get_by_text("How it is sent.")).to_be_attached()
                run.fits()
                run.accessible(f"an operation, {scheme}, {size}")
                run.shoot(f"operation-{scheme}-{size}")
                page.get_by_role("heading", name="Answers").first.scroll_into_view_if_needed()
                run.shoot(f"operation-more-{scheme}-{size}")
    with run.step("every operation opened fits"):
        page.evaluate("() => document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        run.fits()
        run.accessible("all operations")


def keyboard(run):
    page = run.open()
    press = page.keyboard.press
    with run.step("the first Tab skips to the content, and the next are its links"):
        page.goto(ORIGIN + "/docs")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        press("Enter")
        expect(page.get_by_role("main")).to_be_focused()
        press("Tab")
        expect(page.get_by_role("link", name="The OpenAPI document")).to_be_focused()
    with run.step("a link of the list opens its operation, and Tab goes on from there"):
        tab_to(page, page.get_by_role("navigation").get_by_role("link", name="Create a subscription"))
        press("Enter")
        operation = page.locator("#createSubscription")
        summary = operation.locator("summary")
        expect(summary).to_be_focused()
        expect(operation.get_by_role("heading", name="Try it")).to_be_in_viewport()
        press("Tab")
        line = operation.get_by_label("A line for curl")
        expect(line).to_be_focused()
        expect(line).to_contain_text("curl -X POST")
        press("Tab")
        copy = operation.get_by_role("button")
        expect(copy).to_be_focused()
        press("Enter")
        expect(copy).to_have_text("Copied")
    with run.step("where there is no clipboard, as over plain http, the line is selected"):
        page.evaluate("() => Object.defineProperty(navigator, 'clipboard', { value: undefined })")
        press("Enter")
        expect(copy).to_have_text("Selected, now copy it")
        selected = page.evaluate("() => getSelection().toString()")
        assert selected.startswith("curl -X POST") and selected.endswith("'"), selected
    with run.step("Enter closes it"):
        tab_to(page, summary, back=True)
        press("Enter")
        expect(operation.get_by_role("heading", name="Try it")).to_be_hidden()
