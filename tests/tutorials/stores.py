"""The stores of the tutorials: servers of scripts/servers that stand for the clouds, held and let go on when a walk says so."""
import http.server
import json
import os
import signal
import subprocess
import threading
import urllib.request
from pathlib import Path

SERVERS = Path(__file__).resolve().parents[2] / "scripts" / "servers"


class Tokens(http.server.ThreadingHTTPServer):
    """Google's exchange of a service account's signed statement for a token; and the account's key file, which names this server."""

    def __init__(self, key_file):
        super().__init__(("127.0.0.1", 0), TokenAnswer)
        self.daemon_threads = True
        made = subprocess.run(["openssl", "genpkey", "-algorithm", "RSA"], capture_output=True, text=True, check=True)
        key = {
            "type": "service_account",
            "client_email": "tier@tutorial.iam.gserviceaccount.com",
            "private_key_id": "tutorial",
            "private_key": made.stdout,
            "token_uri": f"http://127.0.0.1:{self.server_port}/token",
        }
        key_file.write_text(json.dumps(key))
        threading.Thread(target=self.serve_forever, daemon=True).start()


class TokenAnswer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"access_token": "tutorial", "expires_in": 3600, "token_type": "Bearer"}).encode()
        self.send_response(200 if b"assertion=" in asked else 400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Store:
    """The servers that a tutorial's store stands for."""

    scripts = {"seaweedfs": ["seaweedfs"], "oss": ["oss-stand-in", "seaweedfs"], "hdfs": ["hdfs"], "gcs": ["fake-gcs"], "folder": []}
    pid_files = {"seaweedfs": "seaweedfs/weed.pid", "oss": "seaweedfs/weed.pid", "gcs": "fake-gcs/fake-gcs.pid"}

    def __init__(self, name, folder, port):
        self.name, self.folder = name, folder
        self.held = False
        self.tokens = None
        names = ["SEAWEEDFS_PORT", "OSS_PORT", "HDFS_PORT", "FAKE_GCS_PORT"]
        self.environment = {
            **os.environ,
            **{name: str(port + 10 * (number + 1)) for number, name in enumerate(names)},
            "LONGSHORE_SERVERS_RUN": str(folder),
            "LONGSHORE_SERVERS_PATIENCE": "5",
            "FRESH": "1",
        }

    def start(self):
        """Starts them, and answers what texts of the tutorial mean in this run."""
        if self.scripts[self.name]:
            self.script(self.scripts[self.name][0], "start")
        if self.name == "gcs":
            self.tokens = Tokens(self.folder / "service-account.json")
        return {
            "s3": f"http://127.0.0.1:{self.environment['SEAWEEDFS_PORT']}",
            "oss": f"http://127.0.0.1:{self.environment['OSS_PORT']}",
            "hdfs": self.environment["HDFS_PORT"],
            "gcs": f"http://127.0.0.1:{self.environment['FAKE_GCS_PORT']}",
            "key_file": str(self.folder / "service-account.json"),
            "tier": str(self.folder / "tier"),
            "access": "longshore",
            "secret": "longshore-secret",
        }

    def script(self, name, *arguments):
        # Into a file: a server that stays would hold a pipe open.
        log = self.folder / f"{name}.out"
        with open(log, "ab") as out:
            done = subprocess.run([SERVERS / name, *arguments], env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        if done.returncode != 0:
            raise RuntimeError(f"scripts/servers/{name} {' '.join(arguments)} failed: {log.read_text()[-800:]}")

    def make_bucket(self, bucket):
        if self.name == "gcs":
            url = f"http://127.0.0.1:{self.environment['FAKE_GCS_PORT']}/storage/v1/b?project=test"
            body = json.dumps({"name": bucket}).encode()
            urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"}), timeout=30).close()
            return
        endpoint = f"http://127.0.0.1:{self.environment['SEAWEEDFS_PORT']}"
        self.script("s3req", endpoint, "longshore", "longshore-secret", "PUT", f"/{bucket}")

    def hold(self, held):
        """A store that is held takes connections and answers nothing, so that an offload is seen while it runs."""
        if held == self.held:
            return
        self.held = held
        if self.name == "hdfs":
            self.script("hdfs", "pause-one" if held else "resume-one", "namenode")
        else:
            pid = int((self.folder / self.pid_files[self.name]).read_text().split()[0])
            os.kill(pid, signal.SIGSTOP if held else signal.SIGCONT)

    def stop(self):
        self.hold(False)
        if self.tokens:
            self.tokens.shutdown()
        for name in self.scripts[self.name]:
            self.script(name, "stop")
