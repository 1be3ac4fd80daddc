"""The talking portrait: a picture says a sound, with lips that match it.

A picture is either a *photo* (`photo.py`: a face mesh, and warps of mouth, lids and head) or a *layered portrait*
(`layered.py`): an SVG that keeps these conventions, told in full in docs/portraits.md.

Top-level groups, painted in this order whatever order they stand in; those in brackets may be missing: `background`,
[`hair-back`], `body`, `head`, `eyes` (the whites), [`pupils`] (irises; clipped to the eyes, they move with the gaze),
[`lashes`] (fade in a blink), `eyelids` (closed; they come down in a blink, and are not displayed in the still picture),
`mouth` (closed; only for the still picture), [`brows`], [`front`] (over the mouth: a moustache).

Attributes of the root, in units of the viewBox, say where the mouth is and how it looks: `data-mouth-x`,
`data-mouth-y`, `data-mouth-width` (needed), `data-mouth-upper-lip`, `-lower-lip`, `-smile`, `-open`, `-upper-color`,
`-lower-color`, `-line-color`, `-inside-color`, `-teeth-color`, `-tongue-color`, and how the head moves:
`data-head-pivot-x`, `data-head-pivot-y`, `data-chin-y`. The renderer draws the mouth itself, from how far open and how
wide it is.
"""
