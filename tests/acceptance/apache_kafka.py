"""A real Apache Kafka broker for the length of a script: one node, by itself, in a folder of its own.

Guarantees: it is stopped however the script ends; it comes from Maven by name and version, and is
kept in the cache folder for the next time.
Left out: more nodes than one.
"""

import contextlib
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import maven
from maven import CACHE
from server import free_port

VERSION = "4.1.1"
START_SECONDS = 90
# As its own start script has them.
JVM = ["-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
       "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"]
SETTINGS = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
log.dirs={folder}/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
{more}
"""


def jars(artifact):
    """The folder with an artifact of Apache Kafka and all it needs."""
    return maven.jars("org.apache.kafka", artifact, VERSION)


def java(artifact, folder, flags, *command):
    """The command line of one of Kafka's programs, which writes no log; `folder` is for its files."""
    settings = pathlib.Path(folder) / "log4j2.properties"
    settings.write_text("rootLogger.level = off\n")
    return ["java", *flags, f"-Dlog4j2.configurationFile={settings}", "-cp", f"{jars(artifact)}/*",
            *map(str, command)]


class Broker:
    """A running broker."""

    def __init__(self, folder, more=""):
        self.folder = pathlib.Path(folder)
        self.port = free_port()
        self.settings = self.folder / "server.properties"
        self.settings.write_text(SETTINGS.format(
            port=self.port, controller=free_port(), folder=self.folder, more=more))
        self.process = None

    def java(self, *command):
        """The command line of one of the broker's programs."""
        return java("kafka_2.13", self.folder, JVM, *command)

    def start(self):
        """Returns once clients can connect."""
        subprocess.run(self.java("kafka.tools.StorageTool", "format", "-t", "tradewindtradewindtrad",
                                 "-c", self.settings), check=True, stdout=subprocess.DEVNULL)
        self.process = subprocess.Popen(self.java("kafka.Kafka", self.settings),
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + START_SECONDS
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient
        while time.monotonic() < until:
            if self.process.poll() is not None:
                sys.exit(f"Apache Kafka ended with {self.process.returncode}")
            try:
                AdminClient({"bootstrap.servers": f"127.0.0.1:{self.port}", "log_level": 0}
                            ).list_topics(timeout=2)
                return
            except KafkaException:
                time.sleep(0.2)
        sys.exit(f"Apache Kafka was not there after {START_SECONDS} s")

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


@contextlib.contextmanager
def running(more=""):
    """A broker, stopped at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="apache-kafka-") as folder:
        broker = Broker(folder, more)
        try:
            broker.start()
            yield broker
        finally:
            broker.stop()
