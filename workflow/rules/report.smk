"""The page that a person reads: one file, of all tables and of what each query was answered."""


rule report:
    input:
        page_inputs,
    output:
        "results/report.html",
    log:
        "logs/report.log",
    params:
        **campaign_params(),
        report=plain(cfg.report),
    script:
        "../scripts/report.py"


rule preview:
    # has neither inputs nor outputs: asked for, it runs at once, on what is there
    log:
        "logs/preview.log",
    params:
        **campaign_params(),
        report=plain(cfg.report),
    script:
        "../scripts/preview.py"
