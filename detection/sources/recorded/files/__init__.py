"""The files of a recorded folder: the table of each, and its rows with the table's columns."""
