"""Scores of pairs as a Ray job.

`ray job submit --working-dir . -- python -m jobs.score --bundle BUNDLE --data DIR --requests FILE --pairs FILE --out FILE`
"""

from jobs.entry import run_command

if __name__ == "__main__":
    run_command("score")
