"""The manifests as `kubectl apply -k` would send them, against the schemas of Kubernetes and against what they name."""

import re
import shutil
import subprocess

import kubernetes_validate
import pytest
import yaml

from gateway_tuning import __version__
from tests.architecture.test_docs import ROOT, fault
from tests.deployment.test_compose import OURS

FOLDER = ROOT / "deployments" / "kubernetes"
OVERLAYS = sorted(path.parent.name for path in FOLDER.glob("overlays/*/kustomization.yaml"))
VERSIONS = ("1.33", "1.35")  # an old one that is still looked after, and a later one
pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


def rendered(overlay):
    command = ["kubectl", "kustomize", FOLDER / "overlays" / overlay]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return list(yaml.safe_load_all(output))


@pytest.fixture(scope="module", params=OVERLAYS)
def manifests(request):
    return rendered(request.param)


@pytest.fixture(scope="module")
def gpu():
    return rendered("local-model-gpu")


def of(manifests, kind):
    return {one["metadata"]["name"]: one for one in manifests if one["kind"] == kind}


def pods(manifests):
    kinds = ("Deployment", "StatefulSet", "Job")
    return {name: one["spec"]["template"] for kind in kinds for name, one in of(manifests, kind).items()}


def containers(template):
    return template["spec"].get("initContainers", []) + template["spec"]["containers"]


def each_container(manifests):
    return [(name, one) for name, template in pods(manifests).items() for one in containers(template)]


def test_every_object_is_what_the_schemas_of_kubernetes_allow(manifests):
    for one in manifests:
        kubernetes_validate.validate(one, VERSIONS[0], strict=True)


def test_a_later_kubernetes_allows_it_too(gpu):
    for one in gpu:
        kubernetes_validate.validate(one, VERSIONS[1], strict=True)


def test_a_word_that_kubernetes_does_not_know_is_noticed(gpu):
    wrong = of(gpu, "Deployment")["api"] | {"spec": of(gpu, "Deployment")["api"]["spec"] | {"replica": 1}}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_a_namespace_that_lets_in_restricted_pods_alone_would_let_these_in(manifests):
    assert (
        of(manifests, "Namespace")["gateway-tuning"]["metadata"]["labels"][
            "pod-security.kubernetes.io/enforce"
        ]
        == "restricted"
    )
    for template in pods(manifests).values():
        account = template["spec"]["securityContext"]
        assert (account["runAsNonRoot"], account["runAsUser"]) == (True, 10001)
        assert account["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any("hostPath" in volume for volume in template["spec"]["volumes"])
    for name, container in each_container(manifests):
        rights = container["securityContext"]
        assert rights["capabilities"] == {"drop": ["ALL"]}, name
        assert (rights["allowPrivilegeEscalation"], rights["readOnlyRootFilesystem"]) == (False, True), name


def test_only_the_worker_may_call_the_cluster_and_only_in_its_namespace(manifests):
    mounted = {
        name
        for name, one in pods(manifests).items()
        if one["spec"].get("automountServiceAccountToken") is not False
    }
    role = of(manifests, "Role")["gateway-tuning-worker"]

    assert mounted == {"worker"}
    assert not of(manifests, "ClusterRole")
    assert "*" not in str(role["rules"])
    assert "secrets" not in str(role["rules"])


def test_what_writes_writes_to_volumes(manifests):
    for name, container in each_container(manifests):
        assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/srv/var", "/tmp"}, name  # noqa: S108


def test_every_container_has_limits_and_every_server_is_watched(manifests):
    for name, container in each_container(manifests):
        assert "memory" in container["resources"]["limits"], name
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
        if "install" not in name:
            assert {"startupProbe", "livenessProbe"} <= container.keys(), name
            assert name == "worker" or "readinessProbe" in container


def test_an_upgrade_of_nodes_leaves_one_api_and_one_gateway(manifests):
    budgets = of(manifests, "PodDisruptionBudget")
    servers = {**of(manifests, "Deployment"), **of(manifests, "StatefulSet")}

    assert budgets.keys() == {"api", "gateway"}
    for name, budget in budgets.items():
        assert budget["spec"]["minAvailable"] < servers[name]["spec"]["replicas"]
        labels = servers[name]["spec"]["template"]["metadata"]["labels"]
        assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_nobody_comes_in_but_who_is_named(manifests):
    policies = of(manifests, "NetworkPolicy")
    everybody = policies.pop("nobody")["spec"]

    assert (everybody["podSelector"], everybody["policyTypes"], everybody.get("ingress")) == (
        {},
        ["Ingress"],
        None,
    )
    assert policies.keys() == of(manifests, "Service").keys() - {"gateways"}
    reached_by_all = {
        name
        for name, one in policies.items()
        if any("namespaceSelector" in source for rule in one["spec"]["ingress"] for source in rule["from"])
    }
    assert reached_by_all == {"api", "gateway"}


def test_services_and_policies_select_pods_that_there_are(manifests):
    labels = [template["metadata"]["labels"] for template in pods(manifests).values()]
    selectors = [one["spec"]["selector"] for one in of(manifests, "Service").values()]
    selectors += [
        one["spec"]["podSelector"]["matchLabels"]
        for name, one in of(manifests, "NetworkPolicy").items()
        if name != "nobody"
    ]

    for selector in selectors:
        assert any(selector.items() <= found.items() for found in labels), selector


def test_every_command_and_image_is_ours_and_of_this_version(manifests):
    for name, container in each_container(manifests):
        program, *words = container["args"]
        assert program in {"gateway-tuning", "prefect"}, name
        assert program == "prefect" or fault(words) is None
        assert re.fullmatch(
            rf"llm-gateway-tuning-(api|gateway|worker|trainer):{re.escape(__version__)}", container["image"]
        )
    assert f"install-{__version__.replace('.', '-')}" in of(manifests, "Job")


def example():
    text = (FOLDER / "settings.env.example").read_text(encoding="utf-8")
    return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))


def test_every_entry_of_the_secret_that_is_asked_for_stands_in_its_example(manifests):
    asked = {
        (source["secretKeyRef"]["name"], source["secretKeyRef"]["key"])
        for _, container in each_container(manifests)
        for variable in container.get("env", [])
        for source in [variable.get("valueFrom", {})]
        if "secretKeyRef" in source
    }

    assert {key for secret, key in asked if secret == "gateway-tuning"} <= example().keys()  # noqa: S105 - a name
    assert {secret for secret, _ in asked} == {"gateway-tuning", "gateway-tuning-prefect"}
    assert example().keys() <= OURS | {"PREFECT_API_URL", "PREFECT_API_AUTH_STRING"}


def test_every_gateway_is_asked_at_the_end_of_a_canary(manifests):
    gateways = of(manifests, "StatefulSet")["gateway"]["spec"]
    each = [
        f"http://gateway-{number}.{gateways['serviceName']}:8080" for number in range(gateways["replicas"])
    ]

    assert example()["GATEWAY_TUNING_GATEWAY_URLS"].split(",") == each
    assert of(manifests, "Service")[gateways["serviceName"]]["spec"]["clusterIP"] == "None"


def test_a_trainer_on_a_gpu_goes_to_nodes_that_have_one(gpu):
    spec = pods(gpu)["trainer"]["spec"]

    assert spec["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1


def pool():
    return yaml.safe_load(
        (ROOT / "deployments" / "work_pools" / "kubernetes.yaml").read_text(encoding="utf-8")
    )


def filled(part, values):
    """As Prefect fills a template: a whole `{{ name }}` becomes the value, and what has none goes."""
    if isinstance(part, str) and (name := re.fullmatch(r"\{\{ (\w+) \}\}", part)):
        return values.get(name[1])
    if isinstance(part, dict):
        found = {key: filled(value, values) for key, value in part.items()}
        return {key: value for key, value in found.items() if value is not None}
    return [filled(one, values) for one in part] if isinstance(part, list) else part


@pytest.mark.parametrize("trains", [False, True])
def test_the_job_of_a_run_is_one_that_kubernetes_takes_and_the_namespace_lets_in(gpu, trains):
    values = {name: one["default"] for name, one in pool()["variables"].items() if "default" in one}
    values |= pool()["job_variables_of_tags"]["trainer"] if trains else {}
    values |= {"command": ["prefect", "flow-run", "execute"], "env": [{"name": "A", "value": "b"}]}
    template = filled(pool()["job_configuration"]["job_manifest"], values)["spec"]["template"]
    template["spec"]["restartPolicy"] = (
        "Never"  # of Prefect's own template, as the rest of what is left out here
    )
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "run"},
        "spec": {"template": template},
    }

    kubernetes_validate.validate(job, VERSIONS[0], strict=True)
    spec, (container,) = template["spec"], template["spec"]["containers"]
    assert values["namespace"] in of(gpu, "Namespace")
    assert values["service_account_name"] in of(gpu, "ServiceAccount")
    assert spec["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["limits"]["nvidia.com/gpu"] == int(trains)
    assert ("nvidia.com/gpu.present" in spec["nodeSelector"]) is trains
    assert [one["key"] for one in spec["tolerations"]] == (["nvidia.com/gpu"] if trains else [])
    assert ("trainer" in container["image"]) is trains  # the worker's image has no PyTorch


def test_the_worker_looks_after_the_pool_that_is_deployed(manifests):
    args = containers(pods(manifests)["worker"])[0]["args"]

    assert args[args.index("--pool") + 1] == pool()["name"]
    assert args[args.index("--type") + 1] == pool()["type"]
