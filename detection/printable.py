"""Text from logs, watchlists and answers, made safe to print and to log.

Such text may hold what moves a terminal's cursor, turns the reading direction or shows nothing at
all. Every such character becomes U+FFFD, so that it can be seen that something was there.
"""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
LEFT_OUT = " [...] "


def printable(text: str) -> str:
    """Return the text with every character that cannot be seen replaced; line breaks stay."""
    if text.isprintable():
        return text
    return "".join(c if c == "\n" or c.isprintable() else REPLACEMENT for c in text)


def one_line(text: str) -> str:
    """Return the text as one line that is safe to print: white space becomes single blanks."""
    return printable(" ".join(text.split()))


def shortened(text: str, length: int) -> str:
    """Return the text as one line of at most `length` characters, without its middle if need be.

    A message tells what happened at its beginning and what to do at its end, so both stay. No
    word, such as an address or an id, is cut unless it fills half of the length.
    """
    line = one_line(text)
    if len(line) <= length:
        return line
    half = (length - len(LEFT_OUT)) // 2
    head, tail = line[: half + 1], line[-half - 1 :]
    head = head.rpartition(" ")[0] or head[:-1]
    tail = tail.partition(" ")[2] or tail[1:]
    return f"{head}{LEFT_OUT}{tail}"
