"""Holds deployment files against the published schemas of those who read them, and prints what they
would not take: one complaint a line, the file first.

    schema.py compose FILE...
    schema.py kubernetes FILE...
"""

import json
import sys
from importlib import metadata
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

# The oldest release that the manifests are for, and the newest whose schema is here.
KUBERNETES = ["1.27", kubernetes_validate.latest_version()]

# The schema of the Compose Specification, which this package keeps a copy of. It is not imported: that
# would take all that it needs itself.
COMPOSE = Path(
    metadata.distribution("check-jsonschema").locate_file(
        "check_jsonschema/builtin_schemas/vendor/compose-spec.json"
    )
)


def compose(document):
    """Complaints by the schema of the Compose Specification."""
    schema = json.loads(COMPOSE.read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)
    for error in validator.iter_errors(document):
        yield f"{error.json_path}: {error.message}"


def kubernetes(document):
    """Complaints by the API's own schemas, or by those of the Prometheus operator."""
    group = document.get("apiVersion", "").partition("/")[0]
    if group == "monitoring.coreos.com":
        yield from operator(document)
    elif group != "kustomize.config.k8s.io":
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                path = ".".join(str(part) for part in error.path)
                yield f"{version}: {path}: {error.message}"


def operator(document):
    """Complaints by models made of the operator's custom resource definitions, which overlook what
    they do not know: so what is read has to be what is written."""
    from cloudcoil.models.prometheus_operator import v1

    try:
        model = getattr(v1, document["kind"]).model_validate(document)
    except (AttributeError, ValueError) as error:
        yield " ".join(str(error).split())
        return
    understood = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
    yield from differences(document, understood, "$")


def differences(written, understood, path):
    """Where two documents are not the same."""
    if isinstance(written, dict) and isinstance(understood, dict):
        for key in written:
            if key in understood:
                yield from differences(written[key], understood[key], f"{path}.{key}")
            else:
                yield f"{path}: {key} is unknown"
    elif isinstance(written, list) and isinstance(understood, list):
        for index, (one, other) in enumerate(zip(written, understood, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")
    elif written != understood:
        yield f"{path}: {written!r} is read as {understood!r}"


def main():
    judge = {"compose": compose, "kubernetes": kubernetes}[sys.argv[1]]
    complaints = 0
    for file in sys.argv[2:]:
        with open(file, encoding="utf-8") as text:
            for document in yaml.safe_load_all(text):
                for complaint in judge(document):
                    print(f"{file}: {complaint}")
                    complaints += 1
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
