"""Started in HAProxy's place: adds to the configuration that Ray Serve has written, then becomes HAProxy.

    python haproxy_start.py ADDITIONS.json HAPROXY [words for HAProxy, with -f CONFIG]

Serve writes the file anew whenever gateways come and go, and starts HAProxy on it; some of what is in it has no setting.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import TypedDict

DEFAULTS = r"^ +balance .*$"  # the last line of this section: of two lines for one error the later counts
FRONTEND = r"^(frontend http_frontend)\n(\s*bind )\S+:(\d+)$"


class Additions(TypedDict):
    """What a service adds.

    Attributes:
        closed: ports that shall be open to this machine only.
        addresses: on which clients are listened to, in place of Serve's; `{port}` stands for the port.
        defaults, frontend: lines for these sections.
    """

    closed: list[int]
    addresses: list[str]
    defaults: list[str]
    frontend: list[str]


def adapted(config: str, additions: Additions) -> str:
    """The configuration with the additions.

    Raises:
        ValueError: it is not as Serve writes it; then some of them have no place.
    """
    ports = "|".join(map(str, additions["closed"]))
    config, closed = re.subn(rf"^(\s*bind )\*?:({ports})$", r"\g<1>127.0.0.1:\2", config, flags=re.M)
    config, defaults = re.subn(DEFAULTS, "\n    ".join([r"\g<0>", *additions["defaults"]]), config, count=1, flags=re.M)
    binds = ["bind " + address.format(port=r"\g<3>") for address in additions["addresses"]]
    config, frontend = re.subn(FRONTEND, "\n    ".join([r"\g<1>", *binds, *additions["frontend"]]), config, count=1, flags=re.M)
    if (closed, defaults, frontend) != (len(additions["closed"]), 1, 1):
        raise ValueError("Ray Serve writes HAProxy's configuration otherwise than in release 2.60: take `--proxy serve`")
    return config


def main() -> None:
    told, binary, *words = sys.argv[1:]
    file = Path(words[words.index("-f") + 1])
    file.write_text(adapted(file.read_text(), json.loads(Path(told).read_text())))
    os.execv(binary, [binary, *words])


if __name__ == "__main__":
    main()
