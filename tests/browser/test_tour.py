"""The tour as a newcomer meets it: in real JupyterLab, in a real browser."""

import re

from playwright.sync_api import Page, expect

TOUR = "notebooks/00-tour.ipynb"


def widget(page: Page):
    return page.locator(".sflab-run").first


def colours(page: Page) -> list[str]:
    """The status of every state, as the live graph shows it now."""
    return widget(page).locator("g.state").evaluate_all("gs => gs.map(g => g.getAttribute('class'))")


def test_the_tour_runs_plays_and_answers_a_click(lab, page, seen, shoot):
    lab.open(page, TOUR)
    lab.run_all(page)
    assert page.locator(".jp-OutputArea-output[data-mime-type*=stderr]").count() == 0
    live = widget(page)
    live.scroll_into_view_if_needed()
    expect(live).to_contain_text("succeeded")
    shoot("tour-live")

    # It opens at the end of the run; play begins at the beginning and comes back to it, in colours.
    final = colours(page)
    assert sum("s-succeeded" in c for c in final) >= 9
    live.get_by_role("button", name=re.compile("^Play")).click()
    page.wait_for_function(
        "n => [...document.querySelector('.sflab-run').querySelectorAll('g.state.s-succeeded')].length < n",
        arg=sum("s-succeeded" in c for c in final),
    )
    playing = {tuple(colours(page))}
    for _ in range(20):
        page.wait_for_timeout(150)
        playing.add(tuple(colours(page)))
    assert len(playing) >= 4, "the colours change while it plays"
    shoot("tour-playing")
    live.get_by_role("slider", name="Position in the history").evaluate(
        "e => { e.value = e.max; e.dispatchEvent(new Event('input', { bubbles: true })); }"
    )
    page.wait_for_timeout(300)
    assert colours(page) == final, "the end of the slider is the end of the run"

    # A click on a state shows what went in, what came out, and how often it was tried.
    live.locator("g.state", has_text="ChargeCard").first.click()
    panel = live.locator("aside.panel")
    expect(panel).to_contain_text("ChargeCard")
    expect(panel).to_contain_text("CardNetworkBusy")
    expect(panel).to_contain_text("C-1001")
    expect(panel).to_contain_text("reservation")
    shoot("tour-clicked")
    assert not seen.errors + seen.beyond


def test_the_keyboard_reaches_a_state_and_its_data(lab, page, seen):
    lab.open(page, TOUR)
    lab.run_all(page)
    live = widget(page)
    state = live.locator("g.state", has_text="ReserveStock").first
    state.focus()
    page.keyboard.press("Enter")
    expect(live.locator("aside.panel h3")).to_have_text("ReserveStock")
    page.keyboard.press("Escape")
    expect(live.locator("aside.panel h3")).to_have_text("Execution")
    assert not seen.errors + seen.beyond


def test_a_fresh_clone_that_is_trusted_shows_the_pictures_without_running(lab, page, seen):
    lab.trust(TOUR)
    lab.open(page, TOUR)
    pictures = page.locator(".jp-OutputArea-output[data-mime-type='image/svg+xml']")
    expect(pictures.nth(2)).to_be_attached()  # cells are drawn as they come into view
    expect(pictures.first).to_be_visible()
    assert not seen.beyond
