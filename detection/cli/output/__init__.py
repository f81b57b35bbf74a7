"""The forms and files of findings, and the options that choose them."""
