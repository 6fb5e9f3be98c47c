"""The real daemon, for tests in Python: one process on a folder and ports of its own, with two backends."""
import json
import os
import signal
import subprocess
import tempfile
import time
import urllib.request

PASSWORD = 'secret'
BACKENDS = ('fast', 'slow')
START_LIMIT_S = 60
# The contract of SIGTERM.
STOP_LIMIT_S = 10

CONFIG = ''.join(f'[[backend]]\nname = "{name}"\n\n' for name in BACKENDS)


class Daemon:
    """Runs while the `with` block does; its folder goes with it."""

    def __init__(self, program):
        self.program = os.path.abspath(program)
        self.process = None

    def __enter__(self):
        self.home = tempfile.TemporaryDirectory(prefix='cinderblock-')
        self.data = os.path.join(self.home.name, 'data')
        self.log_path = os.path.join(self.home.name, 'log')
        config = os.path.join(self.home.name, 'config.toml')
        with open(config, 'w') as file:
            file.write(CONFIG)
        arguments = ['serve', '--config', config, '--data', self.data,
                     '--http', '127.0.0.1:0', '--nbd', '127.0.0.1:0']
        environment = {**os.environ, 'CINDERBLOCK_ADMIN_PASSWORD': PASSWORD}
        with open(self.log_path, 'w') as log:
            self.process = subprocess.Popen([self.program, *arguments], env=environment,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self._learn()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _learn(self):
        end = time.monotonic() + START_LIMIT_S
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f'the daemon ended at its start:\n{self.log()}')
            try:
                with open(os.path.join(self.data, 'run.json')) as file:
                    run = json.load(file)
                with urllib.request.urlopen(f'http://{run["http"]}/healthz', timeout=5):
                    break
            except (OSError, ValueError):
                if time.monotonic() > end:
                    raise RuntimeError(f'the daemon does not answer:\n{self.log()}') from None
            time.sleep(0.02)
        self.http = f'http://{run["http"]}'
        self.auth_url = f'{self.http}/identity/v3'

    def log(self):
        """What it has said so far."""
        with open(self.log_path, errors='replace') as file:
            return file.read()

    def environment(self):
        """What tells any OpenStack client where it is and who asks."""
        return {'OS_CLIENT_CONFIG_FILE': os.path.join(self.data, 'clouds.yaml'), 'OS_CLOUD': 'cinderblock'}

    def stop(self):
        """Asks it to end, and tells what is wrong with how it did, if anything."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            return f'the daemon still runs {STOP_LIMIT_S} s after SIGTERM'
        if status != 0:
            return f'the daemon ended with {status}:\n{self.log()[-4000:]}'
        if 'panicked' in self.log():
            return f'the daemon panicked:\n{self.log()[-4000:]}'
        return None

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.home.cleanup()
