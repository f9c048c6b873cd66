"""`results/report.html`: everything of a campaign on one page that needs no network and no other file.

`campaign` says what was asked and finds what is there; `tables`, `charts`, `answers`, `photos`, `stages` and `sources`
make the page's parts from files; `page` puts them together. A part whose files are missing is a labelled gap.
"""
