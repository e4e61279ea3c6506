"""Stage 4 as a Ray job.

`ray job submit --working-dir . -- python -m jobs.finetune RUN/prepared RUN/encode RUN/forecast --out RUN/finetune`
"""

from jobs.entry import run_command

if __name__ == "__main__":
    run_command("finetune")
