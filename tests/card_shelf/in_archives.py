"""Cards in archives, with and without a JPEG before them."""

from tests.card_material import Member, v2, v3
from tests.card_shelf import pictures
from tests.card_shelf.in_pictures import AROUND, BEHIND, CLEAR, COLOURS
from tests.card_shelf.pictures import drawn
from tests.card_shelf.row import OGG, RISU, V3_SPEC, WEBP, in_archive
from tests.card_shelf.shapes import FACE, SMILE

PORTRAIT = drawn(pictures.RGBA, 8, AROUND, BEHIND)
IN_ARCHIVES = [
    in_archive(
        "V3 with a file in each folder",
        v3(
            assets=[
                FACE,
                {**FACE, "uri": "embeded://assets/icon/images/side.png", "name": "side"},
                SMILE,
                {**SMILE, "type": "background", "uri": "embeded://assets/background/images/dusk.webp", "name": "main"},
                {**SMILE, "type": "user_icon", "uri": "https://cards.test/you.webp", "name": "You"},
                {
                    **SMILE,
                    "type": "x_rain",
                    "uri": "embeded://assets/other/audio/rain.ogg",
                    "name": "rain",
                    "ext": "ogg",
                },
            ]
        ),
        {
            "assets/icon/images/main.png": PORTRAIT,
            "assets/icon/images/side.png": drawn(pictures.GREY, 16),
            "assets/emotion/images/smile.webp": WEBP,
            "assets/background/images/dusk.webp": WEBP + b"dusk",
            "assets/other/audio/rain.ogg": OGG,
            "app.json": b'{"n": 1.0}',
        },
        V3_SPEC,
    ),
    in_archive(
        "V3 of RisuAI with its module",
        v3(assets=[FACE, {**SMILE, "type": "x-risu-asset"}], extensions={"risuai": {"bias": [], "license": ""}}),
        {
            "assets/icon/images/main.png": drawn(pictures.RGB, 8),
            "assets/emotion/images/smile.webp": WEBP,
            "x_meta/main.json": b"{}",
            "module.risum": bytes(range(256)),
        },
        RISU,
        method=0,
    ),
    in_archive(
        "V3 with paths in many scripts",
        v3(assets=[{**FACE, "uri": "embeded://лицо/顔 🌳.png"}]),
        {"лицо/顔 🌳.png": drawn(pictures.RGB, 8), "Readme": b"", "deep/er/and/deeper/x": b"\0" * 3000},
        others=[Member(b"deep/", mode=0o040755, method=0)],
    ),
    in_archive(
        "V3 that spells embedded rightly",
        v3(assets=[{**FACE, "uri": "embedded://main.png"}, {**SMILE, "uri": "embedded://smile.webp"}]),
        {"main.png": drawn(pictures.RGB, 8), "smile.webp": WEBP},
    ),
    in_archive("V3 without any file", v3(), {}),
    in_archive("V3 whose files are not there", v3(assets=[FACE, SMILE]), {"other.bin": b"\1"}),
    in_archive("V2 in an archive", v2(), {"notes.txt": "März".encode()}),
    in_archive(
        "V3 behind a JPEG, whose face it is",
        v3(assets=[{**FACE, "uri": "embeded://assets/icon/images/main.jpg", "ext": "jpeg"}]),
        {"assets/icon/images/main.jpg": pictures.photographed(), "module.risum": b"\0\1"},
        RISU,
        cover=pictures.photographed(),
        relative=True,
    ),
    in_archive(
        "V3 behind a JPEG with a face of its own",
        v3(assets=[FACE, SMILE]),
        {
            "assets/icon/images/main.png": drawn(pictures.PALETTE, 2, [COLOURS, CLEAR]),
            "assets/emotion/images/smile.webp": WEBP,
        },
        cover=pictures.photographed(),
    ),
]
