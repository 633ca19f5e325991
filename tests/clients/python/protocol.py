"""What the clients in Python share: the command line of tests/clients (see README.md)."""

import json
import sys
import threading

_printing = threading.Lock()


class Arguments:
    """The `name=value` of a command line."""

    def __init__(self, texts):
        self._values = dict(text.split("=", 1) for text in texts)

    def has(self, name):
        return name in self._values

    def text(self, name, otherwise=""):
        return self._values.get(name, otherwise)

    def number(self, name, otherwise=0):
        return int(self._values.get(name, otherwise))

    def put(self, name, value):
        self._values[name] = str(value)


def arguments():
    """The brokers and what a command is to do."""
    return sys.argv[1], Arguments(sys.argv[3:])


def run(commands):
    """Runs the command that was asked for."""
    commands[sys.argv[2]]()
    return 0


def say(line):
    """Prints one line of JSON, at once."""
    with _printing:
        print(json.dumps(line), flush=True)


def input_ended():
    """Returns when nobody writes to us any more."""
    while sys.stdin.read(1):
        pass


class Outcomes:
    """Makes calls and says what each answers, or by which error it fails."""

    def __init__(self, name_of):
        self._name_of = name_of

    def __call__(self, name, call, *values):
        try:
            answer = call(*values)
        except Exception as error:
            answer = self._name_of(error)
        say({"call": name, "answer": answer})
