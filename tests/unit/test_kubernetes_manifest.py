"""What ``cluster-kit manifest kubernetes`` prints."""

import pytest
import yaml
from click.testing import CliRunner

from cluster_kit.cli import main
from cluster_kit.config.document import Document
from cluster_kit.config.options import read_options
from cluster_kit.strategies.kubernetes import KubernetesStrategy


def printed(*options):
    done = CliRunner().invoke(main, ["manifest", "kubernetes", *options])
    assert done.exit_code == 0, done.output
    return done.output


def objects(*options):
    return {each["kind"]: each for each in yaml.safe_load_all(printed(*options))}


def commented(*options):
    """Return the two pieces of YAML in the comments at the end."""
    lines = printed(*options).rpartition("# In the Deployment")[2].splitlines()
    border = next(
        number for number, line in enumerate(lines) if line.startswith("# In cluster.yaml")
    )
    pieces = lines[1:border], lines[border + 1 :]
    return [yaml.safe_load("\n".join(line.removeprefix("#") for line in piece)) for piece in pieces]


def test_role_allows_what_the_strategy_asks_and_no_more():
    assert objects()["Role"]["rules"] == [
        {
            "apiGroups": ["discovery.k8s.io"],
            "resources": ["endpointslices"],
            "verbs": ["get", "list", "watch"],
        }
    ]
    assert objects("--pods")["Role"]["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}
    ]


def test_role_is_bound_to_the_service_account_of_the_namespace():
    found = objects("-n", "shop", "--service-account", "web")
    assert found["RoleBinding"]["roleRef"]["name"] == found["Role"]["metadata"]["name"]
    assert found["RoleBinding"]["subjects"] == [
        {"kind": "ServiceAccount", "name": "web", "namespace": "shop"}
    ]
    assert found["ServiceAccount"]["metadata"] == {"name": "web", "namespace": "shop"}
    assert {each["metadata"]["namespace"] for each in found.values()} == {"shop"}


def test_two_applications_of_a_namespace_do_not_overwrite_each_other():
    one, other = objects("--name", "web"), objects("--name", "api", "--pods")
    assert {one[kind]["metadata"]["name"] for kind in one} & {
        other[kind]["metadata"]["name"] for kind in other
    } == set()


def test_the_default_service_account_is_there_already():
    assert objects().keys() == {"Role", "RoleBinding", "Service"}


def test_service_is_headless_and_has_pods_that_are_not_ready():
    service = objects("--name", "shop", "--port", "4000")["Service"]
    assert service["spec"] == {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {"app": "shop"},
        "ports": [{"name": "cluster", "port": 4000}],
    }


def test_pods_need_no_service():
    assert "Service" not in objects("--pods")


@pytest.mark.parametrize("options", [(), ("--pods",)], ids=str)
def test_deployment_and_configuration_fit(options):
    deployment, configuration = commented("--name", "shop", *options)
    template = deployment["spec"]["template"]
    [container] = template["spec"]["containers"]
    [topology] = configuration["topologies"].values()
    strategy = KubernetesStrategy(
        **read_options(Document(data=topology["config"]).root, KubernetesStrategy)
    )
    assert strategy.port == container["ports"][0]["name"]
    assert topology["connector"]["port"] == container["ports"][0]["containerPort"]
    assert template["metadata"]["labels"] == {"app": "shop"}
    assert strategy.service_name == "shop-cluster" or strategy.selector == "app=shop"
    assert configuration["node"] == f"{strategy.node_basename}@${{POD_IP}}"
    assert container["env"] == [
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    ]


@pytest.mark.parametrize("options", [(), ("--pods",)], ids=str)
def test_secret_is_mounted_as_a_file_that_the_configuration_names_and_others_cannot_read(options):
    deployment, configuration = commented("--name", "shop", "-n", "prod", *options)
    pod = deployment["spec"]["template"]["spec"]
    [mount], [volume] = pod["containers"][0]["volumeMounts"], pod["volumes"]
    assert volume == {
        "name": mount["name"],
        "secret": {"secretName": "shop-cluster", "defaultMode": 0o440},
    }
    assert mount["readOnly"]
    assert "subPath" not in mount  # such a file never changes
    assert pod["securityContext"]["fsGroup"]
    assert configuration["secret_file"] == f"{mount['mountPath']}/secret"
    assert "insecure" not in configuration
    made = "kubectl create secret generic shop-cluster -n prod --from-file=secret=/dev/stdin"
    assert f"cluster-kit secret | {made}" in printed("--name", "shop", "-n", "prod", *options)


@pytest.mark.parametrize(
    "options",
    [("--name", "Shop"), ("-n", "a b"), ("--port", "0"), ("--service-account", "a\nb: c")],
    ids=str,
)
def test_options_that_kubernetes_would_refuse_are_refused(options):
    assert CliRunner().invoke(main, ["manifest", "kubernetes", *options]).exit_code == 2
