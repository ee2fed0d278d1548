"""Writes docs/api.md: every endpoint, from the service's OpenAPI document.

python -m tools.api_table > docs/api.md
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.answer.app import open_parts
from services.standalone.app import create_app
from twofold.settings import Settings
from twofold.stack import open_stack

HEAD = """# API

Made from the OpenAPI document by `python -m tools.api_table`; the whole of it is at
`/openapi.json` of a running service. Errors are problem documents (RFC 9457): `type`, `title`,
`status`, `detail`, and `detail` says what to do. On a machine where no key was ever made, requests
from the machine itself need none; everywhere else a key goes into `Authorization: Bearer tf_...`
(`twofold key create NAME --scope answer`).

```bash
curl -s localhost:8080/v1/chat -H 'content-type: application/json' \\
  -d '{"message": "How long are logs kept on River?", "stream": true}'
```

With `stream` the answer comes as server-sent events: `meta`, `action`, `delta` (again and again),
`citations`, `done`; `error` ends a stream that failed. Send an `Idempotency-Key`, and the same
request again goes on reading after a broken connection. Any OpenAI client works against
`/v1/chat/completions`; what is ours stands under the key `twofold`.
"""


def document() -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory() as home,
        open_stack(Settings(home=Path(home), threads=1)) as stack,
    ):
        return create_app(open_parts(stack)).openapi()


def table(openapi: dict[str, Any]) -> str:
    return HEAD + "\n" + "\n".join(_lines(openapi)) + "\n"


def _lines(openapi: dict[str, Any]) -> Iterator[str]:
    yield "| endpoint | what |"
    yield "|---|---|"
    for path, methods in sorted(openapi["paths"].items()):
        for method, operation in methods.items():
            more = " ".join(operation.get("description", "").split("\n\n")[0].split())
            said = f"{operation['summary'].rstrip('.')}. {more}".strip().replace("|", "\\|")
            yield f"| `{method.upper()} {path}` | {said} |"


if __name__ == "__main__":
    print(table(document()), end="")
