"""cluster_configs/kubernetes.yaml, validated and not run: there is no Kubernetes here.

What KubeCluster would ask the API server to make is held against the operator's own schema, and what the operator
would make of that against the schemas of Kubernetes, which know every field by name.
"""

import copy
import importlib
from importlib.resources import files

import pytest
import yaml
from distributed.core import Status

from real.fits import CONFIGS

jsonschema = pytest.importorskip("jsonschema")  # not there for `make test`, which only collects this file
kubernetes_validate = pytest.importorskip("kubernetes_validate")

pytestmark = pytest.mark.cluster
PATH = CONFIGS / "kubernetes.yaml"
CRDS = files("dask_kubernetes.operator") / "deployment" / "helm" / "dask-kubernetes-operator" / "crds"


class AskedError(Exception):
    """As far as one gets without a Kubernetes."""


def asked_for(monkeypatch, config):
    """Return the resource that the class of a cluster file asks the API server to make."""
    kubecluster = importlib.import_module("dask_kubernetes.operator.kubecluster.kubecluster")
    asked = []

    class Resource:
        def __init__(self, resource, namespace):
            self.resource, self.namespace = resource, namespace

        def __await__(self):
            yield from ()
            return self

        async def exists(self):
            return False

        async def create(self):
            asked.append((self.resource, self.namespace))
            raise AskedError

    async def nothing(self):
        pass

    monkeypatch.setattr(kubecluster, "DaskCluster", Resource)
    monkeypatch.setattr(kubecluster.KubeCluster, "_watch_component_status", nothing)
    module = importlib.import_module(config["module"])
    with pytest.raises(AskedError):
        getattr(module, config["class"])(*config["args"], **config["kwargs"])
    for unfinished in list(kubecluster.KubeCluster._instances):
        unfinished.status = Status.closed  # else it complains that nobody closed it
        unfinished._loop_runner.stop()
    ((resource, namespace),) = asked
    assert namespace == config["kwargs"]["namespace"]
    return resource


def schema(name, path):
    """Return the schema of a kind of resource from the operator's definitions."""
    definition = yaml.safe_load((path / f"{name}.yaml").read_text())
    (version,) = [one for one in definition["spec"]["versions"] if one["served"]]
    return version["schema"]["openAPIV3Schema"]


@pytest.fixture
def config():
    return yaml.safe_load(PATH.read_text())


@pytest.fixture
def resource(config, monkeypatch):
    return asked_for(monkeypatch, config)


def test_the_file_says_so_at_its_top():
    assert PATH.read_text().startswith("# VALIDATED, NOT RUN")


def test_what_is_asked_of_the_operator(resource):
    jsonschema.validate(resource, schema("daskcluster", CRDS))
    assert resource["kind"] == "DaskCluster"
    broken = copy.deepcopy(resource)
    broken["spec"]["worker"]["spec"]["containers"] = "none"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema("daskcluster", CRDS))


def test_what_the_operator_makes_of_it(resource):
    operator = importlib.import_module("dask_kubernetes.operator.controller.controller")
    name, worker, scheduler = resource["metadata"]["name"], resource["spec"]["worker"], resource["spec"]["scheduler"]
    group = operator.build_default_worker_group_spec(name, worker, {}, {})
    jsonschema.validate(group, schema("daskworkergroup", CRDS))
    made = [
        operator.build_scheduler_deployment_spec(name, scheduler["spec"], {}, {}),
        operator.build_scheduler_service_spec(name, scheduler["service"], {}, {}),
        operator.build_worker_deployment_spec(f"{name}-default", "default", name, "0a1b2c", worker["spec"], {}, {}),
    ]
    pods = [{"apiVersion": "v1", "kind": "Pod", **made[i]["spec"]["template"]} for i in (0, 2)]
    for one in [*made, *pods]:
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
    for pod in pods:
        (container,) = pod["spec"]["containers"]
        assert container["args"][0] == "dask"  # Dask has no scripts of other names
    service = made[1]["spec"]
    labels = pods[0]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()
    broken = copy.deepcopy(pods[0])
    broken["spec"]["containers"][0]["imagine"] = "this"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, kubernetes_validate.latest_version(), strict=True)
