"""What the page is put together from: Gradio's blocks, by name."""

from typing import Any, Final

import gradio as gr

from chattr.ui import words
from chattr.ui.style import static

TITLE: Final = "Chatacter"
# What the browser keeps outlives a restart, and is no secret from whoever uses that browser: which character, the ids
# of conversations, what somebody said of themselves, what is not begun, and a mark of the key that it belongs to.
STORAGE: Final = "chatacter.page.1"
HEAR: Final = "Voice"
LARGEST_MESSAGE: Final = 32_000

HEADER: Final = f"""
<header class="masthead">
  <div class="mark"><span aria-hidden="true"></span><h1>{TITLE}</h1></div>
  <p class="notice" role="note">{words.NOTICE}</p>
</header>
"""
CAST: Final = """
<div class="casting">
  <div class="cast" role="group" aria-label="Choose a character"></div>
  <button type="button" class="add" aria-label="New character" title="New character">
    <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 5v14M5 12h14"></path></svg>
  </button>
</div>
"""


class Parts:
    """The page's blocks, as they stand before anybody has come."""

    def __init__(self) -> None:
        with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as self.blocks:
            self.seat = gr.State(None)
            self.memory = gr.BrowserState({}, storage_key=STORAGE, secret=STORAGE)
            gr.HTML(HEADER, js_on_load=None, elem_id="masthead")
            self.trouble = gr.Markdown(visible=False, elem_id="trouble")
            self._key()
            self.cast = gr.HTML(
                {}, html_template=CAST, js_on_load=static("face.js", "cast.js"), elem_id="cast", apply_default_css=False
            )
            with gr.Row(elem_id="scene", equal_height=False):
                self._stage()
                self._talk()
            self.shelf = part("shelf", "icons.js", "focus.js", "bring.js", "shelf.js")
            self.known = part("known", "icons.js", "focus.js", "known.js")
            self.company = part("company", "icons.js", "face.js", "focus.js", "company.js")
            self.voices = part("voices", "icons.js", "focus.js", "bring.js", "record.js", "voices.js")
            self.editor = part("editor", "icons.js", "bring.js", "editor.js")
            self._about()

    def _key(self) -> None:
        with gr.Row(visible=False, elem_id="door", equal_height=True) as self.door:
            self.key = gr.Textbox(
                "", label="API key", type="password", max_lines=1, scale=4, elem_id="key", placeholder="chat-…"
            )
            self.enter = gr.Button("Enter", variant="primary", scale=1, min_width=120)

    def _stage(self) -> None:
        with gr.Column(scale=4, min_width=300, elem_id="left"):
            self.stage = gr.HTML(
                {},
                html_template=static("stage.html"),
                js_on_load=static("stage.js"),
                elem_id="stage",
                apply_default_css=False,
            )
            self.voice = gr.HTML(
                {},
                html_template=static("voice.html"),
                js_on_load=static("voice.js"),
                elem_id="voice",
                apply_default_css=False,
            )
            with gr.Row(elem_id="tools"):
                self.film = gr.Button("Film it", elem_id="film", min_width=90, interactive=False)
                self.again = gr.Button("New conversation", elem_id="again", min_width=120)
                self.aloud = gr.Checkbox(value=True, label=HEAR, elem_id="aloud", container=False)

    def _talk(self) -> None:
        with gr.Column(scale=7, min_width=300, elem_id="right"):
            self.talk = gr.HTML(
                {},
                html_template=static("talk.html"),
                js_on_load=static("markdown.js", "icons.js", "talk.js"),
                elem_id="talk",
                apply_default_css=False,
            )
            with gr.Row(elem_id="say", equal_height=False):
                self.message = gr.Textbox(
                    "",
                    label="Message",
                    show_label=False,
                    placeholder="Say something …",
                    lines=1,
                    max_lines=6,
                    max_length=LARGEST_MESSAGE,
                    scale=8,
                    container=False,
                    elem_id="message",
                )
                self.send = gr.Button("Send", variant="primary", scale=1, min_width=88, elem_id="send")
                self.stop = gr.Button("Stop", variant="stop", scale=1, min_width=88, visible=False, elem_id="stop")

    def _about(self) -> None:
        with gr.Accordion(words.WHO, open=False, elem_id="about") as self.about:
            self.who = gr.Markdown(words.UNKNOWN)
            self.provider = gr.HTML(
                {},
                html_template=static("provider.html"),
                js_on_load=static("provider.js"),
                visible=False,
                elem_id="provider",
                apply_default_css=False,
            )

    def shown(self) -> list[Any]:
        """List what changes while the page is used."""
        return [
            self.memory,
            self.trouble,
            self.door,
            self.cast,
            self.stage,
            self.voice,
            self.film,
            self.aloud,
            self.talk,
            self.message,
            self.send,
            self.stop,
            self.about,
            self.who,
            self.provider,
            self.shelf,
            self.known,
            self.company,
            self.voices,
            self.editor,
        ]


def part(name: str, *scripts: str) -> gr.HTML:
    """Make a part of the page that is ours: its markup, and the scripts that draw it."""
    return gr.HTML(
        {},
        html_template=static(f"{name}.html"),
        js_on_load=static(*scripts),
        elem_id=name,
        apply_default_css=False,
    )
