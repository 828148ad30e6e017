"""What the official BFCL package says, recorded as fixtures: see README.md.

`calls`, `scripted` and `corruption` use the standard library alone, so that tests make the same inputs again without the
official package. The other modules run in the official environment only.
"""
