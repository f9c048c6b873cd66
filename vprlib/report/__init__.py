"""Write `results/report.html`: the whole experiment on one page that needs no network and no other file.

`artifacts` lists what the configuration requests and finds the files that exist. `page_tables`, `charts`,
`query_results`, `ground_truth`, `thumbnails`, `cost` and `provenance` make the page's parts from these files;
`encoding` packs the data for the page's scripts; `page` puts everything together. A part whose files are missing
becomes a labelled gap.
"""
