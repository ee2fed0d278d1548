"""Holds manifests (JSON, a list, on stdin) against Kubernetes' schemas of each version named.

Run by the Python of `.venv-ops`: kubernetes-validate's own command reads its schemas each time.
"""

import functools
import json
import sys

from kubernetes_validate import utils

utils.schema_contents = functools.cache(utils.schema_contents)
manifests = json.load(sys.stdin)
for version in sys.argv[1:]:
    for manifest in manifests:
        try:
            utils.validate(manifest, version, strict=True)
        except utils.ValidationError as error:
            where = "/".join(map(str, error.absolute_path))
            name = f"{manifest['kind']} {manifest['metadata']['name']}"
            sys.exit(f"{version}: {name} at {where}: {error.message[:500]}")
print(len(manifests))
