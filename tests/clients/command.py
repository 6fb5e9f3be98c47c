"""Runs commands of a client as its own program would, without starting Python anew for each.

A command is a line as a person types it. It runs in a forked process, so that nothing of one reaches
the next; what takes the time, importing the client, was done before.
"""
import json
import logging
import os
import re
import shlex
import sys
import tempfile
import time
import traceback

PATIENCE_S = 60
# Characters of what a client said that a failure repeats.
SAID_MAX = 3000


class Failure(AssertionError):
    """What a client said or did was not what it should."""


def check(true, *said):
    """Fails with what was seen."""
    if not true:
        raise Failure(' '.join(str(part) for part in said)[-SAID_MAX:])


def _child(main, arguments, environment, output, errors):
    """The forked process: never returns."""
    status = 70
    try:
        os.environ.update(environment)
        os.dup2(output.fileno(), 1)
        os.dup2(errors.fileno(), 2)
        sys.stdout = os.fdopen(1, 'w')
        sys.stderr = os.fdopen(2, 'w')
        sys.stdin = open(os.devnull)
        sys.argv = arguments
        # Importing may have made one that tells everything.
        logging.root.handlers.clear()
        status = main(arguments[1:]) or 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


class Client:
    """A client's command line, and which of its commands worked."""

    def __init__(self, name, main, known, environment):
        self.name, self.main, self.environment = name, main, environment
        # The longest first, so that `volume type list` is not taken for `volume`.
        self.known = sorted(known, key=len, reverse=True)
        self.ran = set()

    def attempt(self, line, **environment):
        """Runs a line and returns status, standard output and standard error."""
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            pid = os.fork()
            if pid == 0:
                arguments = [self.name, *shlex.split(line)]
                _child(self.main, arguments, {**self.environment, **environment}, output, errors)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            texts = []
            for file in (output, errors):
                file.seek(0)
                texts.append(file.read().decode())
        return status, *texts

    def _note(self, line):
        words = ' '.join(word for word in shlex.split(line) if not word.startswith('-'))
        found = next((name for name in self.known if f'{words} '.startswith(f'{name} ')), None)
        # Others, such as those of Identity, are helpers here.
        if found:
            self.ran.add(found)

    def __call__(self, line, **environment):
        """Runs a line that must succeed; what it printed."""
        status, output, errors = self.attempt(line, **environment)
        check(status == 0, f'{self.name} {line}: status {status}\n{output}{errors}')
        self._note(line)
        return output

    def refused(self, line, words, **environment):
        """Runs a line that must fail and say these words."""
        status, output, errors = self.attempt(line, **environment)
        said = output + errors
        check(status != 0, f'{self.name} {line}: was not refused\n{said}')
        check(words in said and 'Traceback' not in said, f'{self.name} {line}: should say {words!r}\n{said}')
        self._note(line)

    def gone(self, show, words='could not be found'):
        """Waits until a line that shows something says that it is not there."""
        self._until(show, lambda status, said: status != 0 and words in said)

    def _until(self, line, done):
        end = time.monotonic() + PATIENCE_S
        while True:
            status, output, errors = self.attempt(line)
            if done(status, output if status == 0 else output + errors):
                self._note(line)
                return output
            check(time.monotonic() < end, f'{self.name} {line}: still\n{output}{errors}')

    def never_ran(self, reasons):
        """Commands that neither worked nor have a reason, and reasons that are out of date."""
        idle = {name for name in self.known if name not in self.ran}
        return sorted(idle - reasons.keys()), sorted(reasons.keys() - idle)


class Openstack(Client):
    """openstackclient, which prints JSON when asked to."""

    def json(self, line, **environment):
        """Runs a line that must succeed; what it answers."""
        return json.loads(self(f'{line} -f json', **environment))

    def until(self, line, field, *values):
        """Waits until what a line shows has one of these values."""
        def done(status, said):
            return status == 0 and json.loads(said)[field] in values
        return json.loads(self._until(f'{line} -f json', done))

    def names(self, line, column='Name', **environment):
        """One column of a list."""
        return [row[column] for row in self.json(line, **environment)]


class Cinder(Client):
    """cinderclient, which prints tables."""

    def rows(self, line, **environment):
        """The lines of a list, by the names of its columns."""
        return table(self(line, **environment))

    def properties(self, line, **environment):
        """What a line shows of one object."""
        return pairs(self(line, **environment))

    def until(self, line, field, *values):
        """Waits until what a line shows has one of these values."""
        def done(status, said):
            return status == 0 and pairs(said).get(field) in values
        return pairs(self._until(line, done))


def pairs(text):
    """A table of two columns, names and values."""
    return dict(row.values() for row in table(text))


def table(text):
    """Rows of a table drawn with `|`, by column; texts that go on in the next line are put together."""
    cells = [[cell.strip() for cell in re.split(r' \|(?: |$)', line[2:])[:-1]]
             for line in text.splitlines() if line.startswith('| ')]
    if not cells:
        return []
    head, rows = cells[0], []
    for row in cells[1:]:
        if rows and not row[0]:
            for column, part in zip(head, row):
                rows[-1][column] += part
        else:
            rows.append(dict(zip(head, row)))
    return rows
