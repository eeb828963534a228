#!/usr/bin/env python3
"""`healthcheck URL [VARIABLE]`: ends with 0 when the URL answers with success; VARIABLE holds its bearer token."""

import os
import sys
import urllib.error
import urllib.request


def main(url: str, variable: str | None = None) -> int:
    key = os.environ.get(variable, "") if variable else ""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})  # noqa: S310 - of the image
    try:
        with urllib.request.urlopen(request, timeout=4):  # noqa: S310 - as above
            return 0
    except urllib.error.HTTPError as error:
        print(f"{url} answered {error.code}: {error.read(500).decode(errors='replace')}")
    except OSError as error:
        print(f"{url} did not answer: {error}")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
