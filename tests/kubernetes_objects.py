"""Kubernetes objects as an API server returns them: slices, endpoints, pods and services."""


def endpoint(ip, *, pod=None, ready=True, terminating=False, hostname=None):
    pod = pod or f"pod-{ip}"
    conditions = {"ready": ready and not terminating, "serving": ready, "terminating": terminating}
    target = {"kind": "Pod", "namespace": "default", "name": pod, "uid": f"uid-{pod}"}
    return {"addresses": [ip], "conditions": conditions, "targetRef": target} | (
        {"hostname": hostname} if hostname else {}
    )


def endpoint_slice(
    name, *endpoints, service="web", ports=(("cluster", 4000),), family="IPv4", labels=()
):
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "labels": {"kubernetes.io/service-name": service, **dict(labels)},
        },
        "addressType": family,
        "endpoints": [endpoint(each) if isinstance(each, str) else each for each in endpoints]
        or None,
        "ports": [{"name": name, "port": port, "protocol": "TCP"} for name, port in ports] or None,
    }


def endpoints(name, ready=(), unready=(), ports=(("cluster", 4000),)):
    subset = {
        "addresses": [
            {"ip": ip, "targetRef": {"kind": "Pod", "name": f"pod-{ip}", "uid": f"uid-{ip}"}}
            for ip in ready
        ],
        "notReadyAddresses": [{"ip": ip} for ip in unready],
        "ports": [{"name": name, "port": port} for name, port in ports],
    }
    return {"metadata": {"name": name, "namespace": "default"}, "subsets": [subset]}


def pod(
    name,
    ip,
    *,
    ready=True,
    phase="Running",
    deleted=False,
    labels=(("app", "web"),),
    ports=(("cluster", 4000),),
):
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "labels": dict(labels)}
    if deleted:
        metadata |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}
    containers = [
        {"name": "app", "ports": [{"name": name, "containerPort": port} for name, port in ports]}
    ]
    status = {"phase": phase, "conditions": [{"type": "Ready", "status": str(ready)}]} | (
        {"podIP": ip} if ip else {}
    )
    return {
        "metadata": metadata,
        "spec": {"containers": containers, "hostname": name},
        "status": status,
    }


def service(name, selector=None, labels=()):
    metadata = {"name": name, "namespace": "default", "labels": dict(labels)}
    return {"metadata": metadata, "spec": {"selector": dict(selector)} if selector else {}}
