"""A smoke test against a server that nobody here wrote: ministack, an emulator of AWS.

It makes an ALB service with boto3, the way an account comes to be, and has the real binary diagnose it. The emulator does not know every call of
ours: what it refuses has to show up as blind, and nothing may crash. Usage: smoke.py BINARY
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

import boto3
from botocore.config import Config

REGION = "eu-west-2"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(endpoint, server):
    for _ in range(120):
        if server.poll() is not None:
            sys.exit(f"ministack ended with {server.returncode}")
        try:
            urllib.request.urlopen(endpoint, timeout=1)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.25)
    sys.exit("ministack does not answer")


def make_account(endpoint):
    """A Fargate service behind an application load balancer."""

    def client(service):
        return boto3.client(service, endpoint_url=endpoint, region_name=REGION, config=Config(retries={"max_attempts": 1}))

    ec2, elb, ecs, logs = client("ec2"), client("elbv2"), client("ecs"), client("logs")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"{REGION}{zone}")["Subnet"]["SubnetId"]
        for n, zone in enumerate("ab", 1)
    ]
    group = ec2.create_security_group(GroupName="web", Description="the balancer", VpcId=vpc)["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    )
    balancer = elb.create_load_balancer(Name="web", Subnets=subnets, SecurityGroups=[group])["LoadBalancers"][0]["LoadBalancerArn"]
    target_group = elb.create_target_group(Name="api", Protocol="HTTP", Port=8080, VpcId=vpc, TargetType="ip", HealthCheckPath="/health")
    target_group = target_group["TargetGroups"][0]["TargetGroupArn"]
    forward = [{"Type": "forward", "TargetGroupArn": target_group}]
    elb.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=80, DefaultActions=forward)
    logs.create_log_group(logGroupName="/ecs/api")
    ecs.create_cluster(clusterName="smoke")
    log = {"logDriver": "awslogs", "options": {"awslogs-group": "/ecs/api", "awslogs-region": REGION, "awslogs-stream-prefix": "ecs"}}
    container = {"name": "app", "image": "nginx:1.27", "essential": True, "portMappings": [{"containerPort": 8080}], "logConfiguration": log}
    definition = ecs.register_task_definition(
        family="api", networkMode="awsvpc", requiresCompatibilities=["FARGATE"], cpu="256", memory="512", containerDefinitions=[container]
    )
    ecs.create_service(
        cluster="smoke",
        serviceName="api",
        taskDefinition=definition["taskDefinition"]["taskDefinitionArn"],
        desiredCount=0,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {"subnets": subnets, "securityGroups": [group]}},
        loadBalancers=[{"targetGroupArn": target_group, "containerName": "app", "containerPort": 8080}],
    )


def diagnose(binary, endpoint):
    run = subprocess.run(
        [binary, "smoke/api", "--output", "json"], env=os.environ | {"AWS_ENDPOINT_URL": endpoint}, capture_output=True, text=True, timeout=120
    )
    print(run.stderr, end="")
    assert run.returncode in (0, 1), run
    report = json.loads(run.stdout)
    service = report["services"][0]
    print(f"verdict {service['verdict']}: {service['headline']}")
    print(f"{report['calls']['total']} calls; blind: {', '.join(sorted({b['call'] + ' ' + b['why'] for b in report['blind']})) or 'none'}")
    for root in service["roots"]:
        print(f"  {root['standing']}: {root['check']}")
    return report


def main():
    binary = sys.argv[1]
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    ministack = os.path.join(os.path.dirname(sys.executable), "ministack")
    server = subprocess.Popen(
        [ministack], env=os.environ | {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(endpoint, server)
        make_account(endpoint)
        report = diagnose(binary, endpoint)
    finally:
        server.terminate()
        server.wait(10)
    service = report["services"][0]
    assert (service["service"], service["cluster"], service["kind"]) == ("api", "smoke", "fargate"), service
    assert not [exam for exam in service["exams"] if exam["outcome"] == "crashed"]
    found = {root["check"] for root in service["roots"]}
    assert "desired_zero" in found, f"nothing runs, and that is not found: {found}"
    for call in ("ecs:DescribeServices", "elasticloadbalancing:DescribeTargetHealth", "elasticloadbalancing:DescribeRules", "ec2:DescribeSecurityGroups"):
        assert report["calls"]["by_operation"].get(call), f"{call} was not asked"


if __name__ == "__main__":
    main()
