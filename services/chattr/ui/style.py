"""How the page looks: its own style sheet over a Gradio theme that fetches no fonts."""

from importlib.resources import files
from typing import Final

import gradio as gr

STATIC: Final = files("chattr.ui") / "static"
SANS: Final = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
MONO: Final = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def static(*names: str) -> str:
    """Read files that belong to the page, one after the other."""
    return "\n".join((STATIC / name).read_text("utf-8") for name in names)


CSS: Final = static("page.css", "talk.css", "sheet.css", "panels.css")
HEAD: Final = (
    '<meta name="description" content="Talk with a character: text, voice and film.">'
    '<meta name="color-scheme" content="light dark">'
)


def theme() -> gr.themes.Base:
    """Make the theme: warm neutrals and a copper accent, in fonts that every system has."""
    copper = gr.themes.Color(
        c50="#fdf6f0",
        c100="#fae8d9",
        c200="#f3cdb0",
        c300="#e9ac82",
        c400="#dc8a57",
        c500="#c96f3b",
        c600="#a95629",
        c700="#86431f",
        c800="#64331a",
        c900="#472515",
        c950="#2a150b",
    )
    ink = gr.themes.Color(
        c50="#faf8f5",
        c100="#f2eee8",
        c200="#e4ddd3",
        c300="#cdc3b6",
        c400="#a3988b",
        c500="#786e64",
        c600="#574f48",
        c700="#3d3733",
        c800="#282423",
        c900="#1b1819",
        c950="#121012",
    )
    return gr.themes.Base(
        primary_hue=copper, secondary_hue=copper, neutral_hue=ink, font=list(SANS), font_mono=list(MONO)
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_500",
        button_primary_background_fill_hover_dark="*primary_400",
        button_primary_text_color="white",
        button_primary_text_color_dark="*neutral_950",
        block_border_width="0px",
        block_shadow="none",
        input_background_fill="white",
        input_background_fill_dark="*neutral_900",
    )
