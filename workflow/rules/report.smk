"""The page that a person reads: one file, of all tables and of what each query was answered."""


rule build_report:
    input:
        targets.page(),
    output:
        paths.report,
    log:
        "logs/build_report.log",
    params:
        **experiment_params(),
    script:
        "../scripts/build_report.py"


rule preview_report:
    # has neither inputs nor outputs: asked for, it runs at once, on what is there
    log:
        "logs/preview_report.log",
    localrule: True
    params:
        **experiment_params(),
        path=paths.preview,
    script:
        "../scripts/preview_report.py"
