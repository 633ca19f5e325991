"""Other people's tests: those that Kafka's clients bring for a running broker, against the Kafka port.

Three suites: franz-go's `kgo` (from the Go module that tests/clients/go names), kafka-python's
integration tests (from its source package), and librdkafka's test runner, which is not built here:
`--librdkafka` names a tree of its release 2.15.0, configured where RapidJSON is installed, in which
its runner was built.

    python tests/acceptance/peer_suites.py --binary target/release/tradewind
    python tests/acceptance/peer_suites.py --binary ... --suites franz-go --records 5000
    python tests/acceptance/peer_suites.py --binary ... --suites librdkafka --librdkafka ~/librdkafka
    python tests/acceptance/peer_suites.py --apache-kafka --suites kafka-python    # the same before Kafka

Guarantees: each test that needs a broker is run and named with its outcome; one that fails or is
skipped is held against `EXPECTED`, with the reason; anything else, and an expected failure that
passes, ends the script with 1.
Left out: tests that bring their own broker or none, which say nothing about this one.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree

import apache_kafka
import server
from common import PROJECT

CACHE = apache_kafka.CACHE / "peer_suites"
KAFKA_PYTHON = "3.0.12"
KAFKA = "4.1.1"
SUITE_SECONDS = 1_800
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"

# What the suites expect of their brokers beyond the defaults.
SETTINGS = {
    "log.default_partitions": 4,
    "log.partitions_max": 10_000,
    "server.kafka_group_session_timeout_ms_min": "1 s",
}
KAFKA_SETTINGS = "num.partitions=4\ngroup.min.session.timeout.ms=1000\n"

# kgo's tests that speak to a broker; the others of the package make their own.
FRANZ_GO = """
    Test848RegexBrokerResolves TestAddRemovePartitions TestClient_Produce
    TestClient_ProduceLargeMessages TestConsumeMaxDecompressBatchBytes TestConsumeRegex
    TestConsumeRegexShareSkipsInternal TestConsumeTopicRetrieval TestConsumeTopicRetrieval_Many
    TestDirectPartitionPurge TestGroupETL TestGroupSimple TestHookPollStart TestIssue1034
    TestIssue325 TestIssue337 TestIssue434 TestIssue523 TestIssue648 TestIssue769 TestIssue810
    TestIssue831 TestIssue865 TestIssueFetchLargerThanBrokerMaxReadBytes
    TestIssueProduceBrokerTooOldFailsRecords TestIssueProduceSyncManualPartitionNegativeDoesNotPanic
    TestPauseIssue489 TestPauseIssueOct2023 TestPing TestPooling TestSCRAMAuth
    TestSCRAMAuthBadCredentials TestShareGroup TestShareGroupAckOnClose TestShareGroupETL
    TestShareGroupOffsetsAdmin TestTxnEtl TestUnknownGroupOffsetFetchPinned
""".split()

KIP_848 = "the consumer protocol of KIP-848 is not served"
SHARE = "share groups (KIP-932) are not served"
SECURITY = "there is no authentication, authorisation or encryption on the port yet"
THREE = "asks for three replicas; with one in its place it passes"

# (suite, pattern of the test's name): (outcome, reason).
EXPECTED = {
    ("franz-go", r".*848.*"): (SKIPPED, KIP_848),
    ("franz-go", r".*Share.*"): (SKIPPED, SHARE),
    ("franz-go", r"TestSCRAM.*"): (SKIPPED, SECURITY),
    ("franz-go", r"TestIssueProduceBrokerTooOldFailsRecords"):
        (SKIPPED, "for brokers whose Produce ends before version 9"),
    ("kafka-python", r"test_create_describe_delete_acls"): (FAILED, SECURITY),
    ("kafka-python", r"test_create_partitions"):
        (FAILED, "assigns the new partitions to broker 0; this one is broker 1"),
    ("kafka-python", r"test_describe_metadata_quorum"):
        (FAILED, "DescribeQuorum is not served: there is no quorum of controllers"),
    ("kafka-python", r"test_kafka_consumer_offsets_for_time_old"): (SKIPPED, "for brokers before 0.10.1"),
    ("librdkafka", r"0(098_consumer_txn|103_transactions|107_topic_recreate|111_delay_create_topics)"):
        (FAILED, THREE),
    ("librdkafka", r"0101_fetch_from_follower"): (FAILED, "needs three brokers"),
    ("librdkafka", r"0081_admin"):
        (FAILED, f"makes ACLs: {SECURITY}; alters a broker's settings, describes a group's"),
    ("librdkafka", r"0(109_auto_create_topics|115_producer_auth|119_consumer_auth)"):
        (FAILED, f"makes ACLs: {SECURITY}"),
    ("librdkafka", r"0(097_ssl_verify|126_oauthbearer_oidc|135_sasl_credentials|142_reauthentication)"):
        (SKIPPED, SECURITY),
    ("librdkafka", r"0092_mixed_msgver"): (SKIPPED, "for brokers before Kafka 4"),
    ("librdkafka", r"01[789]\d_share_.*"): (SKIPPED, SHARE),
}

# Where Apache Kafka, as apache_kafka.py starts it, does otherwise.
EXPECTED_OF_KAFKA = {
    ("kafka-python", r"test_describe_metadata_quorum"): (PASSED, ""),
    ("kafka-python", r"test_describe_configs_broker_resource_returns_configs"):
        (FAILED, "wants a setting that is in the broker's file"),
}


class Suite:
    """What a suite is run with."""

    def __init__(self, brokers, folder, options):
        self.brokers, self.folder, self.options = brokers, pathlib.Path(folder), options

    def run(self, command, name, cwd, **variables):
        """Runs a suite's own runner; what it says goes to a file, whose path is returned."""
        path = self.options.logs / f"{name}.log"
        with open(path, "wb") as log:
            try:
                subprocess.run(command, cwd=cwd, stdout=log, stderr=subprocess.STDOUT, check=False,
                               timeout=SUITE_SECONDS, env=os.environ | variables)
            except subprocess.TimeoutExpired:
                print(f"{name}: not done after {SUITE_SECONDS} s")
        return path


def franz_go(suite):
    """kgo's tests, subtests too."""
    log = suite.run(
        ["go", "test", "-json", "-count=1", "-timeout=25m", "-run", f"^({'|'.join(FRANZ_GO)})$",
         "github.com/twmb/franz-go/pkg/kgo"],
        "franz-go", PROJECT / "tests" / "clients" / "go", KGO_SEEDS=suite.brokers, KGO_TEST_RF="1",
        KGO_TEST_RECORDS=str(suite.options.records), KGO_TEST_UNSAFE="1", KGO_LOG_LEVEL="none",
        **({"KGO_TEST_CHAOS": "1"} if suite.options.chaos else {}))
    states = {"pass": PASSED, "fail": FAILED, "skip": SKIPPED}
    found = dict.fromkeys(FRANZ_GO, (FAILED, f"it did not end: {log}"))
    for line in log.read_text(errors="replace").splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            event = json.loads(line)
            if event.get("Test") and event["Action"] in states:
                found[event["Test"]] = (states[event["Action"]], f"see {log}")
    # A parent of subtests fails with them; it is counted by itself only if it has none.
    return {name: outcome for name, outcome in found.items()
            if not any(other.startswith(f"{name}/") for other in found)}


SERVICE = '''"""Stands in for the module of this name, which the source package leaves out."""


class ExternalService:
    """A broker that is there already."""

    def __init__(self, host, port):
        self.host, self.port = host, port

    def dump_logs(self):
        pass


class SpawnedService:
    """None is started."""
'''


def kafka_python_tests(python):
    """The folder with the package's tests, as they were published."""
    folder = CACHE / f"kafka-python-{KAFKA_PYTHON}"
    if not (folder / "test" / "service.py").exists():
        with tempfile.TemporaryDirectory() as download:
            subprocess.run([python, "-m", "pip", "download", "-q", "--no-binary", "kafka-python",
                            "--no-deps", "-d", download, f"kafka-python=={KAFKA_PYTHON}"], check=True)
            [archive] = pathlib.Path(download).iterdir()
            with tarfile.open(archive) as source:
                for member in source.getmembers():
                    member.name = member.name.partition("/")[2]
                    if member.name.startswith("test/"):
                        source.extract(member, folder, filter="data")
        (folder / "test" / "__init__.py").write_text("")
        (folder / "test" / "service.py").write_text(SERVICE)
    return folder


def kafka_python(suite):
    """Its integration tests; those of SASL and TLS start a broker and are not among them."""
    python = CACHE / "venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(CACHE / "venv")], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", f"kafka-python=={KAFKA_PYTHON}",
                    f"kafka-python[crc32c,lz4,snappy,zstd,testing]=={KAFKA_PYTHON}"], check=True)
    folder = kafka_python_tests(str(python))
    report = suite.folder / "kafka-python.xml"
    files = [f"test/integration/test_{name}_integration.py" for name in ["admin", "consumer", "producer"]]
    log = suite.run(
        [str(python), "-m", "pytest", "-q", "--timeout=120", "--timeout-method=signal",
         "--log-level=WARNING", "-p", "no:cacheprovider", f"--junitxml={report}", *files],
        "kafka-python", folder, KAFKA_VERSION=KAFKA, KAFKA_URI=f"kafka://{suite.brokers}",
        KAFKA_ROOT=str(folder))
    if not report.exists():
        return {"the run": (FAILED, f"see {log}")}
    found = {}
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        wrong = [child for child in case if child.tag in ("failure", "error")]
        outcome = FAILED if wrong else SKIPPED if case.find("skipped") is not None else PASSED
        said = wrong[0].get("message", "").splitlines()[:1] if wrong else [""]
        found[case.get("name")] = (outcome, "".join(said)[:160])
    return found


KAFKA_PROGRAMS = {"kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
                  "kafka-acls.sh": "org.apache.kafka.tools.AclCommand", "kafka-run-class.sh": ""}


def kafka_programs(folder):
    """What librdkafka's tests run of a Kafka distribution, from Maven."""
    (folder / "bin").mkdir(parents=True)
    (folder / "libs").mkdir()
    for artifact in ["kafka_2.13", "kafka-tools"]:
        for jar in apache_kafka.jars(artifact).iterdir():
            with contextlib.suppress(FileExistsError):
                (folder / "libs" / jar.name).symlink_to(jar)
    for name, main_class in KAFKA_PROGRAMS.items():
        program = folder / "bin" / name
        program.write_text(f'#!/bin/sh\nexec java -Xmx256m -cp "{folder}/libs/*:$CLASSPATH" '
                           f'{main_class} "$@"\n')
        program.chmod(0o755)
    return folder


def outcomes(said):
    """The outcomes in what librdkafka's runner said; those it was told to leave out are not there."""
    found = {}
    for line in re.sub(r"\x1b\[[0-9;]*m", "", said).splitlines():
        if started_one := re.search(r"=+ Running test (\S+) =+", line):
            found.setdefault(started_one[1], (FAILED, "it did not end"))
        elif ended := re.search(r"=+ Test (\S+) (PASSED|SKIPPED) =+", line):
            found[ended[1]] = (ended[2].lower(), "")
        elif failed := re.match(r'### Test "(\d{4}_\w+)(.*)', line):
            found[failed[1]] = (FAILED, failed[2][:160])
        elif skipped := re.match(r"\[(\d{4}_\w+) *(?:/.*)?\] .*SKIPPING TEST: (.*)", line):
            if not re.search("Filtered|scenario|sockem", skipped[2], re.I):
                found[skipped[1]] = (SKIPPED, skipped[2][:160])
    return found


# Those that close sockets below the library, sometimes one that is another test's by then, by
# themselves; those of brokers that make no topics by themselves, before such a broker.
SOCKETS = "0049,0068,0075,0076,0088,0094"
NO_AUTO_CREATE = "0045,0107,0111"
LIBRDKAFKA_RUNS = [
    ("main", "default", ["-p4", "-E"], {}),
    ("sockets", "default", ["-p1"], {"TESTS": SOCKETS}),
    ("noautocreate", "noautocreate", ["-p4"], {"TESTS": NO_AUTO_CREATE}),
]


def librdkafka(suite):
    """The tests of its runner that are not local."""
    tree = suite.options.librdkafka
    if tree is None:
        print("SKIPPED: librdkafka's tests (--librdkafka names a tree in which they are built)")
        return {}
    tree = tree.resolve()
    programs = kafka_programs(suite.folder / "kafka")
    found = {}
    for name, scenario, arguments, chosen in LIBRDKAFKA_RUNS:
        with contextlib.ExitStack() as stack:
            brokers = suite.brokers
            if scenario == "noautocreate":
                brokers = stack.enter_context(started(suite.options, create=False))
            settings = suite.folder / f"{name}.conf"
            settings.write_text(f"bootstrap.servers={brokers}\ntest.timeout.multiplier=3\n")
            log = suite.run(
                ["./test-runner", "-L", "-s", scenario, *arguments], f"librdkafka-{name}",
                tree / "tests", **chosen, RDKAFKA_TEST_CONF=str(settings), KAFKA_PATH=str(programs),
                BROKERS=brokers, TEST_KAFKA_VERSION=KAFKA,
                LD_LIBRARY_PATH=f"{tree / 'src'}:{tree / 'src-cpp'}")
        found = outcomes(log.read_text(errors="replace")) | found
    return found


SUITES = {"franz-go": franz_go, "kafka-python": kafka_python, "librdkafka": librdkafka}


def expected(suite, name, of_kafka):
    """What is known about a test: (outcome, reason)."""
    for (of, pattern), known in [*(EXPECTED_OF_KAFKA.items() if of_kafka else ()), *EXPECTED.items()]:
        if of == suite and re.fullmatch(pattern, name):
            return known
    return PASSED, ""


def judge(suite, found, of_kafka):
    """Prints each outcome; how many are not as expected."""
    unexpected = 0
    for name, (outcome, said) in sorted(found.items()):
        due, reason = expected(suite, name, of_kafka)
        if outcome == due:
            print(f"  {suite:<13} {outcome:<8} {name}{': ' if reason else ''}{reason}")
        else:
            unexpected += 1
            print(f"  {suite:<13} {outcome.upper():<8} {name}: expected {due}; {said}")
    counts = {kind: sum(outcome == kind for outcome, _ in found.values())
              for kind in (PASSED, FAILED, SKIPPED)}
    print(f"{suite}: " + ", ".join(f"{count} {kind}" for kind, count in counts.items()))
    return unexpected


@contextlib.contextmanager
def started(options, create=True):
    """A broker to test, with or without topics that are made because they are named."""
    word = str(create).lower()
    if options.apache_kafka:
        more = f"{KAFKA_SETTINGS}auto.create.topics.enable={word}\n"
        with apache_kafka.running(more) as broker:
            yield f"127.0.0.1:{broker.port}"
    else:
        settings = SETTINGS | {"log.auto_create_topics": word}
        with server.running(options.binary, settings) as running:
            yield f"127.0.0.1:{running.kafka_port}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    of = parser.add_mutually_exclusive_group(required=True)
    of.add_argument("--binary", help="the `tradewind` to test")
    of.add_argument("--apache-kafka", action="store_true", help="test Apache Kafka instead")
    parser.add_argument("--suites", nargs="+", choices=SUITES, default=list(SUITES))
    parser.add_argument("--records", type=int, default=20_000, help="of franz-go's large tests")
    parser.add_argument("--chaos", action="store_true", help="franz-go's connections die every second")
    parser.add_argument("--librdkafka", type=pathlib.Path, help="a tree of librdkafka with its tests")
    parser.add_argument("--logs", type=pathlib.Path, default=CACHE / "logs", help="where the runners' output goes")
    options = parser.parse_args()
    options.logs.mkdir(parents=True, exist_ok=True)
    unexpected = 0
    for name in options.suites:
        with tempfile.TemporaryDirectory() as folder, started(options) as brokers:
            unexpected += judge(name, SUITES[name](Suite(brokers, folder, options)),
                                options.apache_kafka)
    if unexpected:
        sys.exit(f"FAILED: {unexpected} not as expected")
    print("PASSED")


if __name__ == "__main__":
    main()
