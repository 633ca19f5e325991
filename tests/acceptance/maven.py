"""Jars from Maven, by name and version, kept in the cache folder for the next time."""

import os
import pathlib
import shutil
import subprocess
import tempfile

CACHE = pathlib.Path(os.environ.get("TRADEWIND_CACHE", pathlib.Path.home() / ".cache" / "tradewind"))
POM = """<project><modelVersion>4.0.0</modelVersion>
<groupId>tradewind</groupId><artifactId>jars</artifactId><version>1</version>
<dependencies><dependency>
<groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>
</dependency></dependencies></project>
"""


def jars(group, artifact, version):
    """The folder with an artifact and all it needs."""
    folder = CACHE / "jars" / f"{artifact}-{version}"
    if not folder.exists():
        with tempfile.TemporaryDirectory() as pom:
            (pathlib.Path(pom) / "pom.xml").write_text(
                POM.format(group=group, artifact=artifact, version=version))
            partial = folder.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            subprocess.run(["mvn", "-q", "-B", "dependency:copy-dependencies",
                            f"-DoutputDirectory={partial}"], cwd=pom, check=True)
        partial.rename(folder)
    return folder
