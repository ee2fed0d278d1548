"""Asking: the answer streams, cites, is rated, survives what a network does, and comes back."""

from playwright.sync_api import expect

from tests.e2e.widget.browsing import Visit
from tests.e2e.widget.serving import Place, Says, citation

ROLL = "How long does the old signing secret keep working after I roll it?"
INVITE = "How do I invite a member?"


def test_a_visitor_asks_reads_and_opens_the_source(chat: Visit) -> None:
    answer = chat.ask(ROLL)
    expect(answer).to_contain_text("12 hours")
    expect(chat.app.locator("[role=status]").last).to_contain_text("12 hours")
    chip = answer.locator(".chip").first
    expect(chip).to_contain_text("Roll a signing secret › What rolling does")
    expect(chip).to_have_accessible_name("Source 1: Roll a signing secret > What rolling does")
    mark = answer.get_by_role("button", name="Source 1").first
    mark.click()
    sheet = chat.app.locator(".sheet")
    expect(sheet.locator("h2")).to_contain_text("Roll a signing secret")
    expect(sheet.locator("mark").first).to_be_in_viewport()
    expect(sheet.locator("section", has=chat.app.locator("mark")).locator("h3")).to_have_text(
        "What rolling does"
    )
    link = sheet.get_by_role("link", name="Open the page")
    expect(link).to_have_attribute(
        "href", "https://help.brackwater.example/articles/rotate-signing-secret"
    )
    chat.page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)
    expect(mark).to_be_focused()


def test_a_starter_question_is_asked_by_one_press(chat: Visit) -> None:
    chat.button_named(INVITE).click()
    expect(chat.app.locator(".bubble")).to_have_text(INVITE)
    expect(chat.app.locator(".feedback")).to_have_count(1)


def test_a_rating_and_its_comment_arrive(chat: Visit, place: Place) -> None:
    answer = chat.ask(ROLL)
    answer.get_by_label("This did not help").click()
    answer.get_by_label("What was missing").fill("The screenshot")
    answer.get_by_role("button", name="Send comment").click()
    expect(answer.get_by_text("Thank you")).to_be_visible()
    expect(answer.get_by_label("This did not help")).to_have_attribute("aria-pressed", "true")
    ratings = chat.context.request.get(f"{place.alone}/v1/feedback?rating=down").json()["ratings"]
    assert (ratings[-1]["rating"], ratings[-1]["comment"]) == ("down", "The screenshot")


def test_the_conversation_is_there_after_a_reload(chat: Visit) -> None:
    answer = chat.ask(ROLL)
    answer.get_by_label("This helped").click()
    expect(answer.get_by_label("This helped")).to_have_attribute("aria-pressed", "true")
    said = answer.locator(".prose").inner_text()
    chat.page.reload()
    again = chat.app.locator(".answer").last
    expect(again.locator(".prose")).to_have_text(said, use_inner_text=True)
    expect(again.locator(".chip").first).to_be_visible()
    expect(again.get_by_label("This helped")).to_have_attribute("aria-pressed", "true")
    chat.button_named("Menu").click()
    chat.button_named("New conversation").click()
    expect(chat.app.locator(".bubble")).to_have_count(0)


def test_a_dropped_stream_goes_on_where_it_stopped(chat: Visit, place: Place) -> None:
    words = " ".join(f"word{n}" for n in range(60))
    place.between.says["drop"] = Says(words, size=9, hold_after=20)
    chat.write("drop")
    expect(chat.app.locator(".answer .prose")).to_contain_text("word10")
    chat.refused_on_purpose = True
    place.wire.cut()
    expect(chat.app.get_by_text("The connection dropped")).to_be_visible()
    place.between.go("drop")
    place.wire.mend()
    expect(chat.app.locator(".feedback")).to_have_count(1)
    expect(chat.app.locator(".answer .prose")).to_have_text(words)


def test_an_answer_goes_on_after_a_reload_in_its_middle(chat: Visit, place: Place) -> None:
    words = " ".join(f"word{n}" for n in range(40))
    place.between.says["reload"] = Says(words, hold_after=12)
    chat.write("reload")
    expect(chat.app.locator(".answer .prose")).to_contain_text("word5")
    chat.page.reload()
    chat.open()
    expect(chat.app.locator(".answer .prose")).to_contain_text("word5")
    place.between.go("reload")
    expect(chat.app.locator(".feedback")).to_have_count(1)
    expect(chat.app.locator(".answer .prose")).to_have_text(words)


def test_stop_keeps_what_was_shown(chat: Visit, place: Place) -> None:
    place.between.says["stop"] = Says("first second third fourth " * 20, hold_after=8)
    chat.write("stop")
    expect(chat.app.locator(".answer .prose")).to_contain_text("fourth")
    chat.button_named("Stop").click()
    expect(chat.app.locator(".answer").get_by_text("Stopped")).to_be_visible()
    shown = chat.app.locator(".answer .prose").inner_text()
    place.between.go("stop")
    expect(chat.button_named("Send")).to_be_visible()
    chat.ask(INVITE)
    expect(chat.app.locator(".answer").first.locator(".prose")).to_have_text(shown)


def test_a_long_answer_is_read_from_its_beginning(chat: Visit, place: Place) -> None:
    chat.ask(INVITE)
    place.between.says["long"] = Says("\n\n".join(f"Paragraph {n}." for n in range(120)), size=40)
    chat.ask("long")
    expect(chat.app.locator(".bubble").last).to_be_in_viewport()
    expect(chat.app.locator(".answer").get_by_text("Paragraph 0.", exact=True)).to_be_in_viewport()
    expect(
        chat.app.locator(".answer").get_by_text("Paragraph 119.", exact=True)
    ).not_to_be_in_viewport()


def test_only_a_finished_answer_is_announced(chat: Visit, place: Place) -> None:
    place.between.says["quiet"] = Says("One **two** three. [1] Four.", [citation()], hold_after=2)
    live = chat.app.locator("[role=status]").last
    chat.write("quiet")
    expect(chat.app.locator(".answer .prose")).to_contain_text("One")
    expect(live).to_be_empty()
    place.between.go("quiet")
    expect(live).to_have_text("Answer: One two three. Four. Sources: 1.")


def test_an_answer_is_announced_in_words_alone(chat: Visit, place: Place) -> None:
    table = "| Plan | Kept |\n|:---|---:|\n| **River** | `30` days |\n| Delta | 90 days |"
    text = f"## Logs\n\n{table}\n\n---\n\n1. Open [the page](https://help.brackwater.example/a)."
    place.between.says["table"] = Says(text, [citation()])
    chat.write("table")
    expect(chat.app.locator("[role=status]").last).to_have_text(
        "Answer: Logs Plan, Kept. River, 30 days. Delta, 90 days. Open the page. Sources: 1."
    )


def test_the_transcript_can_be_downloaded(chat: Visit) -> None:
    chat.ask(ROLL)
    chat.button_named("Menu").click()
    with chat.page.expect_download() as download:
        chat.button_named("Download conversation").click()
    text = download.value.path().read_text()
    assert ROLL in text
    assert "12 hours" in text


def test_a_file_is_refused_with_a_sentence(chat: Visit) -> None:
    chat.app.locator(".composer").evaluate(
        "(form) => { const data = new DataTransfer(); data.items.add(new File(['x'], 'a.png'));"
        " const how = { dataTransfer: data, bubbles: true, cancelable: true };"
        " form.dispatchEvent(new DragEvent('drop', how)) }"
    )
    expect(chat.app.get_by_text("Files cannot be sent here")).to_be_visible()


def test_offline_keeps_what_was_written_and_sends_it_later(chat: Visit, place: Place) -> None:
    chat.refused_on_purpose = True
    place.wire.cut()
    chat.write(ROLL)
    expect(chat.app.get_by_text("The connection dropped")).to_be_visible()
    place.wire.mend()
    expect(chat.app.locator(".feedback")).to_have_count(1)
    expect(chat.app.locator(".bubble")).to_have_count(1)


def test_a_refused_question_says_why_and_can_be_asked_again(chat: Visit, place: Place) -> None:
    chat.refused_on_purpose = True
    place.between.says["later"] = 429
    chat.write("later")
    expect(chat.app.locator(".failure")).to_contain_text("a lot at once")
    del place.between.says["later"]
    chat.button_named("Try again").click()
    expect(chat.app.locator(".failure")).to_have_count(0)
    expect(chat.app.locator(".feedback")).to_have_count(1)


def test_the_days_questions_are_used_up(visit: Visit, place: Place) -> None:
    visit.refused_on_purpose = True
    visit.go(place.page(place.site(daily_quota=1))).open()
    visit.ask(ROLL)
    visit.write(INVITE)
    failure = visit.app.locator(".failure")
    expect(failure).to_contain_text("A person can still help you")
    failure.get_by_role("button", name="Talk to a person").click()
    expect(visit.button_named("Pass it on")).to_be_visible()


def test_consent_comes_before_the_first_question(visit: Visit, place: Place) -> None:
    consent = {
        "text": {"en": "We keep this for 30 days."},
        "privacy_url": "https://shop.example/privacy",
        "required": True,
    }
    visit.go(place.page(place.site(consent=consent))).open()
    visit.write(ROLL)
    card = visit.app.locator(".consent")
    expect(card).to_contain_text("We keep this for 30 days.")
    expect(card.get_by_role("link")).to_have_attribute("href", "https://shop.example/privacy")
    expect(visit.app.locator(".bubble")).to_have_count(0)
    visit.button_named("Agree and continue").click()
    expect(visit.app.locator(".bubble")).to_have_text(ROLL)
    expect(visit.app.locator(".feedback")).to_have_count(1)


def test_too_long_a_question_is_counted_before_it_is_sent(chat: Visit) -> None:
    chat.app.locator("#message").fill("x" * 4003)
    expect(chat.app.get_by_text("Too long by 3 characters")).to_be_visible()
    expect(chat.button_named("Send")).to_be_disabled()


def test_two_tabs_show_the_same_conversation(chat: Visit) -> None:
    other = chat.context.new_page()
    other.goto(chat.page.url)
    second = Visit(chat.context, other, chat.known).open()
    chat.ask(ROLL)
    expect(second.app.locator(".bubble")).to_have_text(ROLL)
    expect(second.app.locator(".answer .prose")).to_contain_text("12 hours")
