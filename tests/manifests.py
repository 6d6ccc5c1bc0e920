"""Strict rules for the files in cluster/: what Ray's launcher, the clouds and Kubernetes would let through in silence.

Ray's own schema leaves `provider` and `node_config` open, and Kubernetes drops fields that it does not know. The
schemas here name every key that our files use and no other, with the names of the providers' references:
EC2 RunInstances, Compute Engine instances.insert, KubeRay's ray.io/v1 and Kubernetes' core/v1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema

from raymeter.config.yaml_files import parse_yaml

CLUSTER = Path(__file__).parents[1] / "cluster"
Schema = dict[str, Any]
Key = tuple[str | int, ...]

TEXT: Schema = {"type": "string", "minLength": 1}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
QUANTITY: Schema = {"type": "string", "pattern": r"^[0-9]+(m|Mi|Gi)?$"}
BYTES: Schema = {"type": "string", "pattern": r"^[0-9]+$"}
NAME: Schema = {"type": "string", "pattern": r"^[a-z]([a-z0-9-]*[a-z0-9])?$", "maxLength": 40}


def mapping(_optional: Schema | None = None, **required: Schema) -> Schema:
    """An object with these keys and no other; those of the first argument may be missing."""
    properties = {**required, **(_optional or {})}
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def sequence(items: Schema, least: int = 1) -> Schema:
    return {"type": "array", "items": items, "minItems": least}


def one_of(*values: Any) -> Schema:
    return {"enum": list(values)}


# --- Ray's cluster launcher -------------------------------------------------------------------

COMMANDS = sequence(TEXT, 0)
AWS_NODE = mapping(
    {
        "InstanceMarketOptions": mapping(
            MarketType=one_of("spot"),
            SpotOptions=mapping(SpotInstanceType=one_of("one-time"), InstanceInterruptionBehavior=one_of("terminate")),
        )
    },
    InstanceType={"type": "string", "pattern": r"^[a-z0-9]+\.[a-z0-9]+$"},
    ImageId={"type": "string", "pattern": r"^(ami-[0-9a-f]+|resolve:ssm:/[a-z0-9_./-]+/ami-id)$"},
    IamInstanceProfile=mapping(Name=TEXT),
    SecurityGroupIds=sequence(TEXT),
    MetadataOptions=mapping(HttpTokens=one_of("required")),
    BlockDeviceMappings=sequence(
        mapping(
            DeviceName=one_of("/dev/sda1"),
            Ebs=mapping(
                VolumeSize={"type": "integer", "minimum": 100},
                VolumeType=one_of("gp3"),
                Encrypted=one_of(True),
                DeleteOnTermination=one_of(True),
            ),
        )
    ),
)
GCP_NODE = mapping(
    {
        "serviceAccounts": sequence(mapping(email=TEXT, scopes=sequence(TEXT))),
        "scheduling": mapping(
            provisioningModel=one_of("SPOT"),
            instanceTerminationAction=one_of("DELETE"),
            onHostMaintenance=one_of("TERMINATE"),
            automaticRestart=one_of(False),
        ),
    },
    machineType={"type": "string", "pattern": r"^[a-z0-9]+-[a-z]+-[0-9]+$"},
    disks=sequence(
        mapping(
            boot=FLAG,
            autoDelete=one_of(True),
            type=one_of("PERSISTENT"),
            initializeParams=mapping(
                diskSizeGb={"type": "integer", "minimum": 100},
                sourceImage={"type": "string", "pattern": "^projects/[a-z-]+/global/images/family/[a-z0-9-]+$"},
            ),
        )
    ),
)
PROVIDER = {
    "aws": mapping(type=one_of("aws"), region=TEXT, availability_zone=TEXT, cache_stopped_nodes=one_of(False)),
    "gcp": mapping(
        type=one_of("gcp"), region=TEXT, availability_zone=TEXT, project_id=TEXT, cache_stopped_nodes=one_of(False)
    ),
}


def _launcher(provider: str, node: Schema, spot: str) -> Schema:
    return mapping(
        cluster_name=NAME,
        max_workers=COUNT,
        upscaling_speed={"type": "number", "exclusiveMinimum": 0},
        idle_timeout_minutes={"type": "number", "minimum": 5},
        provider=PROVIDER[provider],
        auth=mapping(ssh_user=one_of("ubuntu")),
        docker=mapping(
            image={"type": "string", "pattern": r"/raymeter:[0-9.]+$"},
            container_name=NAME,
            pull_before_run=FLAG,
            disable_automatic_runtime_detection=one_of(True),
            run_options=COMMANDS,
            head_run_options=COMMANDS,
            worker_run_options=COMMANDS,
        ),
        file_mounts=mapping(**{"/home/ray/.ray/auth_token": one_of("~/.ray/auth_token")}),
        available_node_types=mapping(
            head=mapping(resources=mapping(CPU=one_of(0)), node_config=node),
            gpu_spot=mapping(
                min_workers=COUNT,
                max_workers=COUNT,
                resources=mapping(CPU={"type": "integer", "minimum": 1}, GPU={"type": "integer", "minimum": 1}),
                node_config={**node, "required": [*node["required"], spot]},
            ),
        ),
        head_node_type=one_of("head"),
        initialization_commands=COMMANDS,
        setup_commands=COMMANDS,
        head_setup_commands=COMMANDS,
        worker_setup_commands=COMMANDS,
        head_start_ray_commands=COMMANDS,
        worker_start_ray_commands=COMMANDS,
    )


# --- KubeRay ----------------------------------------------------------------------------------

_LIMITS = mapping({"nvidia.com/gpu": {"type": "string", "pattern": "^[1-9]$"}}, cpu=QUANTITY, memory=QUANTITY)
_RESOURCES = mapping(requests=_LIMITS, limits=_LIMITS)
_CONTAINER = mapping(
    {"ports": sequence(mapping(name=NAME, containerPort={"type": "integer", "minimum": 1, "maximum": 65535}))},
    name=NAME,
    image={"type": "string", "pattern": r"/raymeter:[0-9.]+$"},
    resources=_RESOURCES,
    securityContext=mapping(allowPrivilegeEscalation=one_of(False), capabilities=mapping(drop=sequence(one_of("ALL")))),
    volumeMounts=sequence(mapping(name=NAME, mountPath={"type": "string", "pattern": "^/"})),
)
_EXPRESSION = mapping(key=TEXT, operator=one_of("In", "NotIn", "Exists", "DoesNotExist"), values=sequence(TEXT))
_POD = mapping(
    {
        "affinity": mapping(
            nodeAffinity=mapping(
                requiredDuringSchedulingIgnoredDuringExecution=mapping(
                    nodeSelectorTerms=sequence(mapping(matchExpressions=sequence(_EXPRESSION)))
                )
            )
        ),
        "tolerations": sequence(
            {
                **mapping(
                    {"value": TEXT},
                    key=TEXT,
                    operator=one_of("Equal", "Exists"),
                    effect=one_of("NoSchedule", "PreferNoSchedule", "NoExecute"),
                ),
                "if": {"properties": {"operator": {"const": "Equal"}}},
                "then": {"required": ["value"]},
                "else": {"not": {"required": ["value"]}},
            }
        ),
    },
    serviceAccountName=NAME,
    restartPolicy=one_of("Never"),  # KubeRay refuses any other with autoscaler v2
    securityContext=mapping(
        runAsNonRoot=one_of(True),
        runAsUser={"type": "integer", "minimum": 1},
        seccompProfile=mapping(type=one_of("RuntimeDefault")),
    ),
    containers=sequence(_CONTAINER),
    volumes=sequence(mapping(name=NAME, emptyDir=mapping(medium=one_of("Memory"), sizeLimit=QUANTITY))),
)
RAY_CLUSTER_SPEC = mapping(
    rayVersion={"type": "string", "pattern": r"^[0-9]+\.[0-9]+\.[0-9]+$"},
    enableInTreeAutoscaling=one_of(True),
    autoscalerOptions=mapping(
        version=one_of("v2"),
        upscalingMode=one_of("Default", "Aggressive", "Conservative"),
        idleTimeoutSeconds={"type": "integer", "minimum": 300},
        resources=_RESOURCES,
    ),
    authOptions=mapping(mode=one_of("token")),
    headGroupSpec=mapping(
        rayStartParams=mapping(**{"num-cpus": one_of("0"), "object-store-memory": BYTES}), template=mapping(spec=_POD)
    ),
    workerGroupSpecs=sequence(
        mapping(
            groupName=NAME,
            replicas=COUNT,
            minReplicas=COUNT,
            maxReplicas=COUNT,
            rayStartParams=mapping(**{"object-store-memory": BYTES}),
            template=mapping(spec={**_POD, "required": [*_POD["required"], "affinity", "tolerations"]}),
        )
    ),
)


def _resource(kind: str, spec: Schema) -> Schema:
    return mapping(apiVersion=one_of("ray.io/v1"), kind=one_of(kind), metadata=mapping(name=NAME), spec=spec)


SCHEMAS = {
    "aws.yaml": _launcher("aws", AWS_NODE, "InstanceMarketOptions"),
    "gcp.yaml": _launcher("gcp", GCP_NODE, "scheduling"),
    "kuberay/raycluster.yaml": _resource("RayCluster", RAY_CLUSTER_SPEC),
    "kuberay/rayjob.yaml": _resource(
        "RayJob",
        mapping(
            entrypoint=TEXT,
            submissionMode=one_of("K8sJobMode", "HTTPMode"),
            shutdownAfterJobFinishes=one_of(True),
            ttlSecondsAfterFinished=COUNT,
            backoffLimit=COUNT,
            activeDeadlineSeconds={"type": "integer", "minimum": 1},
            rayClusterSpec=RAY_CLUSTER_SPEC,
        ),
    ),
}
LAUNCHERS = ("aws.yaml", "gcp.yaml")
VALIDATORS = {name: jsonschema.Draft202012Validator(schema) for name, schema in SCHEMAS.items()}


def load(name: str) -> Any:
    """A file of cluster/ as plain values; a key given twice is an error."""
    return parse_yaml((CLUSTER / name).read_text(), name)


def problems(name: str, document: Any) -> list[str]:
    """What is wrong with a document that stands in the place of the named file; nothing if it is right."""
    found = [
        f"{'.'.join(str(part) for part in error.absolute_path)}: {error.message}"
        for error in VALIDATORS[name].iter_errors(document)
    ]
    if found:
        return found
    if name in LAUNCHERS:
        return _launcher_problems(document)
    return _cluster_problems(document["spec"].get("rayClusterSpec", document["spec"]))


def _launcher_problems(config: dict[str, Any]) -> list[str]:
    workers, docker = config["available_node_types"]["gpu_spot"], config["docker"]
    found = []
    if not workers["min_workers"] <= workers["max_workers"] <= config["max_workers"]:
        found.append("min_workers, max_workers of the group and max_workers of the cluster must not fall")
    for role in ("head", "worker"):
        options = " ".join([*docker["run_options"], *docker[f"{role}_run_options"]])
        command = " ".join(config[f"{role}_start_ray_commands"])
        shared = re.search(r"--shm-size=([0-9]+)g(?:\s|$)", options)
        store = re.search(r"--object-store-memory=([0-9]+)(?:\s|$)", command)
        if shared is None or store is None or int(shared[1]) * 2**30 < int(store[1]):
            found.append(f"{role}: /dev/shm must hold the object store")
        if f"--env RAY_AUTH_TOKEN_PATH={next(iter(config['file_mounts']))}" not in options:
            found.append(f"{role}: RAY_AUTH_TOKEN_PATH is not where the token is mounted")
        if "--env RAY_AUTH_MODE=token" not in options:
            found.append(f"{role}: token authentication is off")
    if "--gpus all" not in docker["worker_run_options"]:
        found.append("the workers' containers get no GPU")
    if "--dashboard-host=127.0.0.1" not in " ".join(config["head_start_ray_commands"]):
        found.append("the dashboard must listen on the loopback only")
    return found


def _cluster_problems(spec: dict[str, Any]) -> list[str]:
    found = []
    for group in spec["workerGroupSpecs"]:
        if not group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]:
            found.append(f"{group['groupName']}: minReplicas, replicas and maxReplicas must not fall")
        for container in group["template"]["spec"]["containers"]:
            if "nvidia.com/gpu" not in container["resources"]["limits"]:
                found.append(f"{container['name']}: asks for no GPU")
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        sizes = {volume["name"]: _bytes(volume["emptyDir"]["sizeLimit"]) for volume in pod["volumes"]}
        for container in pod["containers"]:
            resources = container["resources"]
            if resources["requests"] != resources["limits"]:
                found.append(f"{container['name']}: requests and limits differ")
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            shared = sizes.get(mounts.get("/dev/shm", ""), 0)
            if int(group["rayStartParams"]["object-store-memory"]) > shared:
                found.append(f"{container['name']}: /dev/shm must hold the object store")
            if shared > _bytes(resources["limits"]["memory"]) / 2:
                found.append(f"{container['name']}: /dev/shm takes more than half of the memory")
    return found


def _bytes(quantity: str) -> int:
    number, unit = re.fullmatch(r"([0-9]+)(Mi|Gi)?", quantity).groups()  # type: ignore[union-attr]
    return int(number) * {None: 1, "Mi": 2**20, "Gi": 2**30}[unit]


def keys(value: Any, path: Key = ()) -> Iterator[Key]:
    """The path of every key of every mapping in a document."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, key)
            yield from keys(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from keys(item, (*path, index))


def parent_of(document: Any, path: Key) -> Any:
    """The mapping or list that holds the last part of a path."""
    for part in path[:-1]:
        document = document[part]
    return document


def renamed(document: Any, path: Key, key: str) -> None:
    """Give the key at a path another name, in place and at its place."""
    holder = parent_of(document, path)
    items = [(key if name == path[-1] else name, item) for name, item in holder.items()]
    holder.clear()
    holder.update(items)
