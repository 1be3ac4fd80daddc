"""Lorebooks: what a character knows of its world, told to the model when somebody speaks of it. Pure.

`book` is what a lorebook is; `reading` takes one from a card, a `lorebook_v3` file or SillyTavern's world info;
`decorators` reads the `@@` lines of an entry; `rules` says what an entry asks for, in one shape whoever wrote it;
`matching` looks for keys, `patterns` for regular expressions within a time; `activation` decides what is told.
Sources: Character Card V2, `character_book`; V3, "Lorebook Fields" and "Decorators"; SillyTavern's world info for what
`extensions` mean and where the specifications leave a choice.
"""
