"""Character Cards, versions 1 to 3: read from JSON, PNG, APNG and CHARX, kept whole, written again.

Sources: Character Card V1 and V2 (malfoyslastname/character-card-spec-v2), V3 (kwaroran/character-card-spec-v3).
`files` reads and writes; `model` is what a card is; `versions` turns one version into another; `persona` says what a
character of ours takes from a card and what its later edits change in it; `stored` is how a card is kept.
"""
