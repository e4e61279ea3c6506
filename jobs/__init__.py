"""Entry points for `ray job submit`: one a stage, and `jobs.pipeline` for all of them."""
