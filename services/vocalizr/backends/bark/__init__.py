"""Bark, by transformers: expressive speech in thirteen languages, with laughs and sighs where the text has them."""
