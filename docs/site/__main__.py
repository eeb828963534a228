"""`python -m docs.site` writes docs/reference/ anew; `--check` names the pages that are not as the code is."""

import sys

from docs.site.reference import FOLDER, stale, write

if "--check" in sys.argv:
    pages = stale()
    sys.exit(f"Not as the code is: {', '.join(pages)}; run python -m docs.site" if pages else 0)
write()
print(f"Wrote {FOLDER}")  # noqa: T201 - a program's answer
