"""The Kubernetes objects that pods need to find each other, as text for ``kubectl apply``. Pure."""

from __future__ import annotations

ROLE = "cluster-kit"
SECRET_FOLDER = "/etc/cluster-kit"  # noqa: S105 - where it is mounted

_SERVICE_ACCOUNT = """\
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {account}
  namespace: {namespace}
---
"""

_RIGHTS = """\
# The pods may see {resource}, and nothing else.
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {role}
  namespace: {namespace}
rules:
  - apiGroups: ["{group}"]
    resources: [{resource}]
    verbs: [get, list, watch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {role}-{name}
  namespace: {namespace}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {role}
subjects:
  - kind: ServiceAccount
    name: {account}
    namespace: {namespace}
"""

_SERVICE = """\
---
# Headless, and with the addresses of pods that are not ready: readiness may wait for the cluster.
apiVersion: v1
kind: Service
metadata:
  name: {name}-cluster
  namespace: {namespace}
  labels:
    app: {name}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector:
    app: {name}
  ports:
    - name: cluster
      port: {port}
"""

_DEPLOYMENT = """\

# The secret that all pods share, made once:
#
#   cluster-kit secret | kubectl create secret generic {name}-cluster -n {namespace} \
--from-file=secret=/dev/stdin
#
# In the Deployment or StatefulSet:
#
#   spec:
#     template:
#       metadata:
#         labels:
#           app: {name}
#       spec:
#         serviceAccountName: {account}
#         securityContext:
#           fsGroup: 1000  # any number: the group that may read the secret
#         containers:
#           - name: {name}
#             ports:
#               - name: cluster
#                 containerPort: {port}
#             env:
#               - name: POD_IP
#                 valueFrom:
#                   fieldRef:
#                     fieldPath: status.podIP
#             volumeMounts:
#               - name: cluster-secret
#                 mountPath: {folder}  # without subPath, which would keep changes from the pod
#                 readOnly: true
#         volumes:
#           - name: cluster-secret
#             secret:
#               secretName: {name}-cluster
#               defaultMode: 0440
#
# In cluster.yaml:
#
#   node: {name}@${{POD_IP}}
#   secret_file: {folder}/secret
#   topologies:
#     {name}:
#       strategy: kubernetes
#       config: {{{config}, port: cluster, node_basename: {name}}}
#       connector: {{name: tcp, port: {port}}}
"""


def manifest(*, name: str, namespace: str, account: str, port: int, pods: bool) -> str:
    """Return Role, RoleBinding and headless Service, and the rest as comments.

    The comments show what belongs into a Deployment and a configuration.

    Args:
        name: The application: its pods carry the label ``app=<name>``.
        namespace: Its namespace.
        account: The service account of its pods; created unless it is the default one.
        port: The port that peers listen on.
        pods: Whether to look for pods themselves, which takes no Service.
    """
    account_part = _SERVICE_ACCOUNT if account != "default" else ""
    service_part = "" if pods else _SERVICE
    selection = f"ip_lookup_mode: pods, selector: app={name}"
    if not pods:
        selection = f"service_name: {name}-cluster"
    return (account_part + _RIGHTS + service_part + _DEPLOYMENT).format(
        name=name,
        namespace=namespace,
        account=account,
        port=port,
        folder=SECRET_FOLDER,
        role=f"{ROLE}-pods" if pods else ROLE,
        group="" if pods else "discovery.k8s.io",
        resource="pods" if pods else "endpointslices",
        config=selection,
    )
