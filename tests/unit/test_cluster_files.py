"""The files in cluster/ against strict schemas, against each other, and against what their README says of them."""

from __future__ import annotations

import copy
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from manifests import CLUSTER, LAUNCHERS, SCHEMAS, keys, load, parent_of, problems, renamed

import raymeter
from raymeter.config.load import load_config

ROOT = CLUSTER.parent
README = (CLUSTER / "README.md").read_text()
DOCKERFILE = (CLUSTER / "Dockerfile").read_text()
FILES = {name: load(name) for name in SCHEMAS}
RAY = re.search(r"^FROM rayproject/ray:([0-9.]+)-py[0-9]+$", DOCKERFILE, re.MULTILINE)[1]
COMMANDS = [
    shlex.split(line, comments=True)
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in re.sub(r"\\\n\s*", "", block).splitlines()
    if line.strip()
]
AUDITS = [words[words.index("raymeter.audit") + 1 :] for words in COMMANDS if "raymeter.audit" in words]
JOB = FILES["kuberay/rayjob.yaml"]["spec"]


def cluster_spec(name):
    """The RayCluster's part of either KubeRay file."""
    spec = FILES[name]["spec"]
    return spec.get("rayClusterSpec", spec)


@pytest.mark.parametrize("name", SCHEMAS)
def test_file_is_right(name):
    """Every file keeps the strict rules."""
    assert problems(name, FILES[name]) == []


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_typo_in_any_key_is_found(name):
    """Each key of each file, renamed by one letter, left out, or joined by a stranger, is an error."""
    unnoticed = []
    paths = list(keys(FILES[name]))
    assert len(paths) > 50
    for path in paths:
        typo = copy.deepcopy(FILES[name])
        renamed(typo, path, f"{path[-1]}x")
        stranger = copy.deepcopy(FILES[name])
        parent_of(stranger, path)["stranger"] = 1
        unnoticed += [path for changed in (typo, stranger) if not problems(name, changed)]
    assert unnoticed == []


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_value_of_another_type_is_found(name):
    """Each single value replaced by one of another type is an error."""
    unnoticed = []
    for path in keys(FILES[name]):
        changed = copy.deepcopy(FILES[name])
        holder = parent_of(changed, path)
        holder[path[-1]] = ["x"] if isinstance(holder[path[-1]], (str, dict)) else "x"
        if not problems(name, changed):
            unnoticed.append(path)
    assert unnoticed == []


WORKERS = "spec.workerGroupSpecs.0"
POD = f"{WORKERS}.template.spec"


@pytest.mark.parametrize(
    ("name", "path", "value", "said"),
    [
        ("aws.yaml", "max_workers", "8", "is not of type 'integer'"),
        ("aws.yaml", "max_workers", 4, "must not fall"),
        ("aws.yaml", "available_node_types.gpu_spot.min_workers", 9, "must not fall"),
        ("aws.yaml", "available_node_types.head.resources.CPU", 8, "is not one of [0]"),
        (
            "aws.yaml",
            "available_node_types.gpu_spot.node_config.InstanceMarketOptions.MarketType",
            "Spot",
            "not one of",
        ),
        ("aws.yaml", "provider.cache_stopped_nodes", True, "is not one of [False]"),
        ("aws.yaml", "docker.head_run_options", ["--shm-size=7g"], "head: /dev/shm must hold the object store"),
        ("aws.yaml", "docker.worker_run_options", ["--shm-size=6g"], "get no GPU"),
        ("aws.yaml", "docker.run_options", ["--env RAY_AUTH_MODE=token"], "not where the token is mounted"),
        ("gcp.yaml", "available_node_types.gpu_spot.node_config.scheduling.provisioningModel", "SPOTTY", "not one of"),
        ("gcp.yaml", "available_node_types.gpu_spot.node_config.disks.0.autoDelete", False, "is not one of [True]"),
        ("gcp.yaml", "head_start_ray_commands", ["ray start --head"], "loopback only"),
        ("kuberay/raycluster.yaml", f"{WORKERS}.minReplicas", 9, "must not fall"),
        ("kuberay/raycluster.yaml", f"{WORKERS}.maxReplicas", "8", "is not of type 'integer'"),
        ("kuberay/raycluster.yaml", f"{POD}.restartPolicy", "Always", "is not one of ['Never']"),
        ("kuberay/raycluster.yaml", f"{POD}.volumes.0.emptyDir.sizeLimit", "2Gi", "must hold the object store"),
        ("kuberay/raycluster.yaml", f"{POD}.volumes.0.emptyDir.sizeLimit", "9Gi", "more than half of the memory"),
        ("kuberay/raycluster.yaml", f"{POD}.containers.0.volumeMounts.0.mountPath", "/dev/shmem", "must hold"),
        (
            "kuberay/raycluster.yaml",
            f"{POD}.containers.0.resources.limits.memory",
            "11Gi",
            "requests and limits differ",
        ),
        ("kuberay/raycluster.yaml", f"{POD}.containers.0.resources.limits.memory", "10 GB", "does not match"),
        ("kuberay/raycluster.yaml", f"{POD}.tolerations.0.operator", "Exists", "should not be valid"),
        ("kuberay/raycluster.yaml", "spec.authOptions.mode", "disabled", "is not one of ['token']"),
        ("kuberay/raycluster.yaml", "apiVersion", "ray.io/v1alpha1", "is not one of ['ray.io/v1']"),
        ("kuberay/rayjob.yaml", "spec.activeDeadlineSeconds", 0, "less than the minimum"),
        ("kuberay/rayjob.yaml", "spec.shutdownAfterJobFinishes", "true", "is not one of [True]"),
    ],
)
def test_a_wrong_value_is_found(name, path, value, said):
    """Values that a schema for types alone would accept, or that only fail once machines cost money."""
    changed = copy.deepcopy(FILES[name])
    parts = tuple(int(part) if part.isdigit() else part for part in path.split("."))
    assert parts in set(keys(changed))
    parent_of(changed, parts)[parts[-1]] = value
    assert any(said in problem for problem in problems(name, changed)), problems(name, changed)


def test_both_kuberay_files_have_the_same_cluster():
    """The job's cluster is the one that stays, so that what was tried with one holds for the other."""
    assert cluster_spec("kuberay/raycluster.yaml") == cluster_spec("kuberay/rayjob.yaml")


def test_ray_is_the_same_everywhere():
    """Image, CRDs and README name one version of Ray, and raymeter may run with it."""
    assert set(re.findall(r"\bray(?:\[[a-z,]+\])?==([0-9.]+[0-9])", DOCKERFILE + README)) == {RAY}
    assert {cluster_spec(name)["rayVersion"] for name in SCHEMAS if name not in LAUNCHERS} == {RAY}
    project = (ROOT / "pyproject.toml").read_text()
    least, bound = re.search(r'"ray\[default,data,train,tune\]>=([0-9.]+),<([0-9.]+)"', project).groups()
    version, *limits = ([int(part) for part in text.split(".")] for text in (RAY, least, bound))
    assert limits[0] <= version < limits[1]
    pythons = re.search(r'requires-python = ">=3\.([0-9]+)"', project)[1]
    assert int(re.search(r"-py3([0-9]+)$", DOCKERFILE, re.MULTILINE)[1]) >= int(pythons)


def test_image_is_tagged_with_the_version_everywhere():
    """README, Dockerfile and manifests mean the image of this version."""
    texts = [README, DOCKERFILE, *((CLUSTER / name).read_text() for name in SCHEMAS)]
    for text in texts:
        assert set(re.findall(r"raymeter:([0-9.]*[0-9])", text)) == {raymeter.__version__}


def test_dockerfile_copies_what_exists_and_what_is_not_ignored():
    """Every source is in the checkout, and the ignore file lets it into the build."""
    allowed = {line[1:] for line in (CLUSTER / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    copied = [line.split() for line in DOCKERFILE.splitlines() if line.startswith("COPY")]
    sources = [source for words in copied for source in words[1:-1] if not source.startswith("--")]
    assert {"pyproject.toml", "raymeter", "configs"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert source.split("/")[0] in allowed, source
    for name in ("data", "audits", "demo", ".git"):
        assert not any(fnmatch(name, pattern) for pattern in allowed), name


def test_dockerfile_ends_as_the_user_of_the_pods():
    """Not root, and the user under which Kubernetes runs the pods and the launcher mounts the token."""
    user = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)[-1]
    spec = cluster_spec("kuberay/raycluster.yaml")
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert str(group["template"]["spec"]["securityContext"]["runAsUser"]) == user != "0"


def test_torch_of_the_image_is_allowed_by_the_project():
    """What the image pins satisfies pyproject.toml."""
    project = (ROOT / "pyproject.toml").read_text()
    for name in ("torch", "torchvision"):
        pinned = re.search(rf"\b{name}==([0-9]+)\.([0-9]+)", DOCKERFILE).groups()
        least = re.search(rf'"{name}>=([0-9]+)\.([0-9]+)"', project).groups()
        assert tuple(map(int, pinned)) >= tuple(map(int, least))


class _Template(yaml.SafeLoader):
    """Reads CloudFormation's short forms as `{"Ref": name}` and the like."""


for tag in ("!Ref", "!GetAtt", "!Sub"):
    _Template.add_constructor(tag, lambda loader, node, tag=tag: {tag[1:]: loader.construct_scalar(node)})


def test_aws_names_are_those_of_the_account():
    """aws.yaml uses profiles, a tag and a repository that aws-account.yaml makes."""
    account = yaml.load((CLUSTER / "aws-account.yaml").read_text(), Loader=_Template)["Resources"]  # noqa: S506
    profiles = {
        part["Properties"]["InstanceProfileName"]
        for part in account.values()
        if part["Type"] == "AWS::IAM::InstanceProfile"
    }
    config = FILES["aws.yaml"]
    nodes = config["available_node_types"].values()
    assert {node["node_config"]["IamInstanceProfile"]["Name"] for node in nodes} == profiles
    assert f"/{account['Repository']['Properties']['RepositoryName']}:" in config["docker"]["image"]
    rights = account["AutoscalerPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    (terminate,) = (right for right in rights if right["Action"] == "ec2:TerminateInstances")
    assert terminate["Condition"]["StringEquals"] == {"aws:ResourceTag/ray-cluster-name": config["cluster_name"]}
    (image,) = (right for right in rights if right["Action"] == "ssm:GetParameters")
    prefix = image["Resource"]["Sub"].split(":parameter")[1]
    assert all(fnmatch(node["node_config"]["ImageId"].removeprefix("resolve:ssm:"), prefix) for node in nodes)
    assert "&" not in (CLUSTER / "aws-account.yaml").read_text()  # CloudFormation knows no aliases


def test_readme_names_files_that_exist():
    """Every path in a command, a table or a link; files that the commands make are called my-*.yaml or report."""
    named = re.findall(r"\b(?:cluster|configs)/[\w./-]+\w", README)
    assert len(named) > 10
    for path in named:
        assert (ROOT / path).exists(), path
    for path in re.findall(r"^\| `([^|]+)` \|", README, re.MULTILINE):
        for name in path.split("`, `"):
            assert (CLUSTER / name).exists(), name
    made = [word for words in COMMANDS for before, word in zip(words, words[1:], strict=False) if before == ">"]
    used = [word for words in COMMANDS for word in words if re.fullmatch(r"my-\w+\.yaml", word)]
    assert set(used) <= set(made)


def test_readme_fills_in_every_placeholder():
    """What stands in capitals in a file is replaced by the README's sed command for it, and nothing else is."""
    for name in SCHEMAS:
        (command,) = (words for words in COMMANDS if words[0] == "sed" and f"cluster/{name}" in words)
        replaced = set(re.findall(r"s[/|]([A-Z_]+)[/|]", " ".join(command)))
        lines = [line.split(" #")[0] for line in (CLUSTER / name).read_text().splitlines() if line[:1] != "#"]
        left = "\n".join(lines)
        placeholders = {"ACCOUNT_ID", "SECURITY_GROUP", "PROJECT_ID", "REGISTRY", "BUCKET"}
        assert replaced == {word for word in placeholders if re.search(rf"(?<![A-Z_]){word}(?![A-Z_])", left)}, name
        for word in replaced:
            assert max(line.count(word) for line in lines) == 1, f"{name}: sed without g replaces one {word} a line"


@pytest.mark.parametrize("words", [*AUDITS, shlex.split(JOB["entrypoint"])[3:]], ids=lambda words: words[1])
def test_audits_have_configurations_that_load(words):
    """Each audit of the README and of the RayJob: its file exists, its overrides are accepted, results go to a bucket."""
    path = ROOT / words[0].removeprefix("/home/ray/raymeter/")
    config = load_config(path, words[1:])
    assert re.match(r"(s3|gs)://\$?BUCKET/", config.run.log_dir)
    assert Path(config.data.data_dir).is_absolute()
    assert config.train.resources_per_model["GPU"] > 0  # a cluster without workers shows no GPU
    assert config.cluster.max_slots in {file.get("max_workers", 8) for file in FILES.values()}
    for name in LAUNCHERS:
        worker = FILES[name]["available_node_types"]["gpu_spot"]["resources"]
        assert all(amount <= worker[resource] for resource, amount in config.train.resources_per_model.items())


def test_job_runs_as_many_models_as_workers_may_come():
    """The RayJob asks for its whole worker group, and each model fits a worker."""
    words = shlex.split(JOB["entrypoint"])
    assert words[:3] == ["python", "-m", "raymeter.audit"]
    config = load_config(ROOT / words[3].removeprefix("/home/ray/raymeter/"), words[4:])
    (group,) = cluster_spec("kuberay/rayjob.yaml")["workerGroupSpecs"]
    assert config.cluster.max_slots == group["maxReplicas"]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert config.train.resources_per_model["CPU"] <= int(limits["cpu"])
    assert config.train.resources_per_model["GPU"] <= int(limits["nvidia.com/gpu"])


def test_main_readme_links_here():
    """Who reads the main README finds this folder."""
    assert "(cluster/README.md)" in (ROOT / "README.md").read_text()
