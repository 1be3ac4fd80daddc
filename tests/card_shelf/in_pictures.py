"""Cards in pictures of every kind, among all that may stand beside them."""

import base64

from tests.card_material import apng, itxt, v1, v2, v3, ztxt
from tests.card_shelf import pictures
from tests.card_shelf.pictures import Part, drawn
from tests.card_shelf.row import OGG, RISU, V3_SPEC, WEBP, in_png, n, packed, text, text_of
from tests.card_shelf.shapes import DECORATED, MAIN, SMILE, ST_LORE, VISITOR, mirrored

COLOURS = Part(b"PLTE", bytes(range(0, 240, 20)))
CLEAR = Part(b"tRNS", b"\x00\x80\xff")
AROUND = [
    Part(b"gAMA", (45455).to_bytes(4, "big")),
    Part(b"pHYs", b"\0\0\x0b\x13\0\0\x0b\x13\1"),
    text("Software", b"by hand"),
    Part(b"prVt", bytes(range(9))),
    *(Part(c.kind, c.data) for c in (ztxt("Comment", b"packed " * 40),)),
]
BEHIND = [
    Part(b"tIME", b"\x07\xe8\1\2\3\4\5"),
    Part(b"eXIf", b"MM\0*\0\0\0\x08\0\0\0\0\0\0"),
    *(
        Part(c.kind, c.data)
        for c in (itxt("Description", "Яблоня".encode(), packed=True), itxt("Title", "🌳".encode(), packed=False))
    ),
    text("character", b"not a card"),
    text("Comment", b"first"),
    text("Comment", b"second"),
]
IN_PICTURES = [
    in_png(
        "V2 as SillyTavern keeps it",
        mirrored(
            v2(
                personality="",
                mes_example="",
                tags=[],
                alternate_greetings=[],
                character_version="1.0.0",
                extensions={"talkativeness": "0.5", "fav": False, "world": "Orchard"},
                character_book={"entries": [ST_LORE, {**ST_LORE, "id": 1}], "name": "Orchard"},
            ),
            avatar="none",
            chat="Rowan - 2023-10-9",
            create_date="2023-10-9 @12h",
            talkativeness="0.5",
            fav=False,
            creatorcomment="For quiet evenings.",
        ),
        drawn(pictures.RGBA, 8),
        like="SillyTavern/SillyTavern default/content/default_Seraphina.png",
    ),
    in_png("V3 alone, in a palette with clear colours", v3(), drawn(pictures.PALETTE, 2, [COLOURS, CLEAR])),
    in_png("V1 in black and white", v1(later=n("1.0")), drawn(pictures.GREY, 1)),
    in_png("V2 in an interlaced picture of one grey", v2(), drawn(pictures.GREY, 8, interlaced=True)),
    in_png(
        "V3 before a V2 that says otherwise",
        v3(),
        drawn(pictures.RGB, 16, AROUND, BEHIND, interlaced=True),
        packed("ccv3", v3()),
        packed("chara", v2(**VISITOR)),
        like=V3_SPEC,
    ),
    in_png(
        "V3 behind a V2 that says otherwise",
        v3(character_book=DECORATED),
        drawn(pictures.RGB, 8),
        packed("chara", v2(**VISITOR)),
        packed("ccv3", v3(character_book=DECORATED)),
        at=1,
    ),
    in_png(
        "V2 that is called V3, beside itself",
        {**v2(), "spec": "chara_card_v3", "spec_version": "3.0"},
        drawn(pictures.RGB, 8),
        packed("chara", v2()),
        packed("ccv3", {**v2(), "spec": "chara_card_v3", "spec_version": "3.0"}),
        like="SillyTavern/SillyTavern src/character-card-parser.js",
    ),
    in_png("V2 before its palette", v2(), drawn(pictures.PALETTE, 4, [COLOURS], BEHIND), at=1),
    in_png("V2 between pieces of the pixels", v2(), drawn(pictures.GREY, 16, AROUND, BEHIND, pieces=3), at=8),
    in_png("V3 among text of every kind", v3(), drawn(pictures.GREY_ALPHA, 8, AROUND, BEHIND, pieces=4), at=3),
    in_png(
        "V2 in a packed text chunk",
        v2(),
        drawn(pictures.RGB, 8),
        Part(b"iTXt", itxt("Chara", base64.b64encode(text_of(v2())), packed=True).data),
    ),
    in_png(
        "V3 in one behind the pixels",
        v3(),
        drawn(pictures.RGBA, 16, interlaced=True),
        Part(b"zTXt", ztxt("ccv3", base64.b64encode(text_of(v3()))).data),
    ),
    in_png(
        "V3 with files in the picture",
        v3(
            assets=[
                MAIN,
                {**SMILE, "uri": "__asset:0"},
                {**SMILE, "type": "x-risu-asset", "uri": "__asset:1", "ext": "ogg"},
                {**SMILE, "type": "background", "uri": "https://cards.test/b.png", "name": "main"},
                {**SMILE, "type": "user_icon", "uri": "data:image/webp;base64,UklGRg==", "name": "You"},
            ]
        ),
        drawn(pictures.RGBA, 8),
        files={"__asset:0": WEBP, "__asset:1": OGG},
        like=RISU,
    ),
    in_png(
        "V2 with files in the picture",
        v2(
            extensions={
                "risuai": {
                    "emotions": [["smile", "__asset:1"]],
                    "additionalAssets": [["rain", "__asset:2", "ogg"]],
                    "largePortrait": True,
                }
            }
        ),
        drawn(pictures.RGB, 8),
        files={"__asset:1": WEBP, "__asset:2": OGG},
        like=f"{RISU} (`CharacterCardV2Risu`)",
    ),
    in_png(
        "V3 in a moving picture of Pillow's", v3(assets=[{**MAIN, "ext": "apng"}]), pictures.moving(), kind="image/apng"
    ),
    in_png("V2 in a moving picture", v2(), apng(), kind="image/vnd.mozilla.apng"),
]
