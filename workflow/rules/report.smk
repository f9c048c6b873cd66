"""The report: one page with all tables and the predictions for each query."""


rule build_report:
    input:
        targets.page(),
    output:
        paths.report,
    log:
        paths.log("build_report"),
    params:
        **experiment_params(),
    script:
        "../scripts/build_report.py"


rule preview_report:
    # it has neither inputs nor outputs, so it always runs, on the files that exist
    log:
        paths.log("preview_report"),
    localrule: True
    params:
        **experiment_params(),
        path=paths.preview,
    script:
        "../scripts/preview_report.py"
