"""Lists as a Ray job.

`ray job submit --working-dir . -- python -m jobs.recommend --bundle RUN/bundle --data DIR --requests FILE --out FILE`
"""

from jobs.entry import run_command

if __name__ == "__main__":
    run_command("recommend")
