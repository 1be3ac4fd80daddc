"""Cards as JSON."""

from tests.card_material import ENTRY, v1, v2, v3
from tests.card_shelf.row import RISU, TAVERN_KIT, V2_SPEC, V3_SPEC, in_json, n, text_of
from tests.card_shelf.shapes import DECORATED, FULL_LORE, MAIN, NUMBERS, bare, mirrored, without

AS_JSON = [
    in_json("V1 with its six fields", v1(), "malfoyslastname/character-card-spec-v2 spec_v1.md"),
    in_json(
        "V1 with what the first programs wrote beside them",
        v1(
            avatar="none",
            chat="Rowan - 2023-2-11 @20h 14m 3s 21ms",
            create_date="2023-2-11 @20h",
            talkativeness="0.5",
            fav=False,
            metadata={"version": n("1"), "tool": {"name": "by hand"}},
        ),
        f"{RISU} (its `OldTavernChar`)",
    ),
    in_json(
        "V1 that is empty but for two fields", {**dict.fromkeys(v1(), ""), "name": "Rowan", "description": "Gardens."}
    ),
    in_json(
        "V1 with null for empty", {**v1(), "scenario": None, "mes_example": None, "later": [None, {"n": n("7.0")}]}
    ),
    in_json("V2 with every optional field of its book", v2(character_book=FULL_LORE), V2_SPEC),
    in_json("V2 without what is mandatory", bare("v2", description="Gardens.", first_mes="Hello.")),
    in_json(
        "V2 whose book is null",
        v2(character_book=None, system_prompt="", extensions={"garden_app": {"key": "value"}}),
        f"{TAVERN_KIT} docs/fixtures/ccv2_min.json",
    ),
    in_json(
        "V2 whose entries have no extensions",
        v2(
            extensions={"garden_kit/test": {"round_trip": True}, "custom_field": "stays"},
            character_book={"name": "Lore", "entries": [{name: ENTRY[name] for name in ENTRY if name != "extensions"}]},
        ),
        f"{TAVERN_KIT} test/fixtures/full_v2_card.json",
    ),
    in_json(
        "V2 that adds to what was said before it",
        v2(
            system_prompt="{{original}}\nYou are Rowan.",
            post_history_instructions="Stay outside. {{original}}",
            extensions={"theme_color": "#4B5320"},
            character_book={**FULL_LORE, "scan_depth": 50, "token_budget": 300},
        ),
        "bradennapier/character-cards-v2 examples.md",
    ),
    in_json(
        "V2 of a hub",
        v2(
            avatar="https://cards.test/avatars/rowan/card.png",
            tags=[],
            character_version="main",
            character_book=None,
            extensions={
                "chub": {
                    "id": n("4792687"),
                    "preset": None,
                    "full_path": "rowan/rowan",
                    "extensions": [],
                    "expressions": None,
                    "alt_expressions": {},
                    "background_image": "",
                    "related_lorebooks": [],
                },
                "depth_prompt": {"depth": n("0"), "prompt": ""},
            },
        ),
        "characterhub's exports as quoted in public documentation (`extensions.chub`)",
    ),
    in_json(
        "V2 of Agnai",
        mirrored(
            v2(
                personality="",
                extensions={
                    "agnai/voice": {"service": "webspeechsynthesis", "rate": n("1.0")},
                    "agnai": {"voice": {}, "persona": {"kind": "boostyle", "attributes": {"mind": ["patient", "dry"]}}},
                },
            )
        ),
        "agnaistic/agnai common/characters.ts (`exportCharacter`)",
    ),
    in_json(
        "V2 with numbers in every spelling",
        v2(
            extensions={"numbers": NUMBERS},
            character_book={
                "scan_depth": n("4.0"),
                "extensions": {"n": n("1e0")},
                "later": n("3.10"),
                "entries": [
                    {**ENTRY, "insertion_order": n("1e2"), "priority": n("-5.0"), "id": n("7.0"), "odd": NUMBERS}
                ],
            },
        ),
    ),
    in_json(
        "V2 in many scripts",
        v2(
            name="Ровáн 花子",
            first_mes="שלום {{user}}, \u200fمرحبا\u200f 👩🏽‍🌾 𝕽𝖔𝖜𝖆𝖓 e\u0301 \u2028 \u200d \ufeff \u007f",
            tags=["花", "🌳", "ص", "é"],
            extensions={"🌱": {"\U0010ffff": '\t\b\f\r\u0000\u001f\\/"'}, "": ""},
        ),
    ),
    in_json(
        "V2 with halves of surrogate pairs",
        v2(),
        data=text_of(v2(creator_notes="HALF")).replace(b"HALF", rb"\ud83d and \udc00, whole \ud83c\udf31, \u00e9 \/"),
    ),
    in_json(
        "V2 with every kind of JSON in its extensions",
        v2(
            extensions={
                "null": None,
                "yes": True,
                "no": False,
                "none": {},
                "nothing": [],
                "text": "",
                "nested": [[[[{"a": [[]]}]]]],
                "chara": "chara",
                "extensions": {"extensions": {"chatacter": {"not": "ours"}}},
            },
            later={"of": "data"},
        ),
    ),
    in_json(
        "V2 with null for empty",
        v2(creator_notes=None, system_prompt=None, tags=None, alternate_greetings=None, character_book=None),
    ),
    in_json("V2 with decorators of V3", v2(character_book=DECORATED)),
    in_json(
        "V3 with every field", v3(character_book=FULL_LORE, assets=[MAIN], modification_date=n("1700000001")), V3_SPEC
    ),
    in_json(
        "V3 with every field in two languages",
        v3(
            creator_notes_multilingual={"en": "For quiet evenings.", "ja": "静かな夜に。", "ar": "لأمسيات هادئة"},
            assets=[{**MAIN, "uri": "ccdefault:assets/icon.png"}],
            extensions={"garden_kit/v3": {"verified": True}},
        ),
        f"{TAVERN_KIT} test/fixtures/full_v3_card.json",
    ),
    in_json("V3 of which everything optional is left out", bare("v3", description="Gardens.")),
    in_json(
        "V3 whose book is null",
        without(v3(character_book=None, group_only_greetings=[], extensions={}), "nickname", "source"),
        f"{TAVERN_KIT} docs/spec/fixtures/ccv3_min.json",
    ),
    in_json(
        "V3 with empty optional fields",
        v3(
            nickname="",
            source=[],
            creator_notes_multilingual={},
            group_only_greetings=[],
            assets=[],
            tags=[],
            alternate_greetings=[],
            creator="",
            character_book={"entries": [], "extensions": {}},
            creation_date=n("0"),
        ),
    ),
    in_json(
        "V3 that repeats itself beside its data",
        {
            **mirrored(
                v3(
                    character_book={**FULL_LORE, "entries": [{"uid": n("1"), **ENTRY, "position": "before_char_defs"}]},
                    assets=[
                        {**MAIN, "uri": "ccdefault:icon.png"},
                        {**MAIN, "type": "background", "uri": "embeded://forest.png", "name": "forest"},
                    ],
                    extensions={"st_specific": {"talkativeness": n("0.80"), "fav": True}},
                )
            ),
            "tags": ["v3"],
            "creator": "us",
        },
        f"{TAVERN_KIT} docs/fixtures/ccv3_st_export_like.json",
    ),
    in_json(
        "V3 with decorators and their fallbacks",
        v3(character_book=DECORATED),
        "kwaroran/character-card-spec-v3 concepts.md",
    ),
    in_json(
        "V3 of a later version",
        {**v3(license="ours", later={"n": n("2.50")}), "spec_version": "3.1", "top": [n("1.0")]},
    ),
    in_json(
        "V3 with dates in milliseconds",
        v3(creation_date=n("1764064064277"), modification_date=n("1764064064277.5")),
        "CharacterTavern's exports as described in public documentation",
    ),
    in_json(
        "V3 of RisuAI",
        v3(
            nickname="",
            source=[],
            character_version="undefined",
            creation_date=n("0"),
            character_book={
                "scan_depth": n("5"),
                "extensions": {"risu_fullWordMatching": False},
                "entries": [
                    {
                        **ENTRY,
                        "extensions": {
                            "risu_case_sensitive": False,
                            "risu_activationPercent": n("50"),
                            "risu_loreCache": {"key": "k", "data": ["d"]},
                        },
                        "name": "plum",
                        "comment": "plum",
                        "case_sensitive": False,
                        "use_regex": False,
                        "constant": False,
                    }
                ],
            },
            extensions={
                "risuai": {
                    "bias": [["tree", n("-5")], ["leaf", n("2.0")]],
                    "viewScreen": "none",
                    "customScripts": [{"comment": "", "in": "a(.)", "out": "$1", "type": "editdisplay"}],
                    "utilityBot": False,
                    "sdData": [["always", "garden"]],
                    "virtualscript": "",
                    "vits": {},
                    "newGenData": {"prompt": "", "negative": ""},
                    "lowLevelAccess": False,
                },
                "depth_prompt": {"depth": n("0"), "prompt": ""},
            },
        ),
        f"{RISU} (`createBaseV3`)",
    ),
    in_json(
        "V3 with a book of odd kinds",
        v3(
            character_book={
                "name": None,
                "scan_depth": "four",
                "entries": [
                    {
                        **ENTRY,
                        "secondary_keys": "a, b",
                        "id": "seven",
                        "position": n("4"),
                        "insertion_order": "3",
                        "constant": "no",
                    },
                    {
                        **ENTRY,
                        "keys": ["a", n("1")],
                        "name": {"en": "plum"},
                        "priority": None,
                        "id": True,
                        "later": {"x": [n("1.0")]},
                    },
                    {"content": "A content alone."},
                    {},
                ],
            }
        ),
    ),
    in_json(
        "V3 with a mark, tabs and lines", v3(), data=b"\xef\xbb\xbf\r\n" + text_of(v3(), "\t").replace(b"\n", b"\r\n")
    ),
    in_json(
        "V3 with what is ours",
        v3(
            extensions={
                "other": n("1.0"),
                "chatacter": {
                    "voice": "af_sky",
                    "language": "de",
                    "temperature": n("0.70"),
                    "seed": n("7"),
                    "memory": {"read": False},
                    "appearance": "Green apron.",
                    "later": {"n": n("1.0")},
                },
            }
        ),
    ),
]
