"""Text from logs, watchlists and answers, made safe to print and to log.

Such text may hold what moves a terminal's cursor, turns the reading direction or shows nothing at
all. Every such character becomes U+FFFD, so that it can be seen that something was there.
"""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def printable(text: str) -> str:
    """Return the text with every character that cannot be seen replaced; line breaks stay."""
    if text.isprintable():
        return text
    return "".join(c if c == "\n" or c.isprintable() else REPLACEMENT for c in text)


def one_line(text: str) -> str:
    """Return the text as one line that is safe to print: white space becomes single blanks."""
    return printable(" ".join(text.split()))
