"""Tokens, permissions and TLS as the unmodified client meets them."""
import json
import os
import shutil
import ssl
import subprocess
import time
import urllib.error

import pulsar
import pytest

from own_broker import Broker, free_port
from tokens import CHECKED, token

TOPIC = "persistent://public/default/guarded"
OPERATION_SECONDS = 20


def issue(folder):
    """A certificate for localhost that vouches for itself, and its key."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem",
                    "-out", folder / "cert.pem"], check=True, capture_output=True)


def issue_for_client(folder):
    """A certificate for a client, vouched for by the one above, and its key."""
    subprocess.run(["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=client", "-keyout", folder / "client.key",
                    "-out", folder / "client.csr"], check=True, capture_output=True)
    (folder / "client.ext").write_text("basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n")
    subprocess.run(["openssl", "x509", "-req", "-in", folder / "client.csr", "-CA", folder / "cert.pem", "-CAkey", folder / "key.pem",
                    "-CAcreateserial", "-days", "2", "-extfile", folder / "client.ext", "-out", folder / "client.pem"],
                   check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    issue(folder)
    issue_for_client(folder)
    return folder


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, certificate):
    tls_port, web_tls_port = free_port(), free_port()
    broker = Broker(tmp_path_factory.mktemp("guarded"), {
        **CHECKED,
        "brokerServicePortTls": tls_port,
        "webServicePortTls": web_tls_port,
        "tlsCertificateFilePath": certificate / "cert.pem",
        "tlsKeyFilePath": certificate / "key.pem",
        "tlsCertRefreshCheckDurationSec": 0,
        "advertisedAddress": "localhost",
    }, token=token("root"))
    broker.tls_url, broker.web_tls_url = f"pulsar+ssl://127.0.0.1:{tls_port}", f"https://127.0.0.1:{web_tls_port}"
    broker.start()
    yield broker
    broker.stop()


def client(url, role_token=None, **more):
    authentication = pulsar.AuthenticationToken(role_token) if role_token else None
    logger = pulsar.ConsoleLogger(pulsar.LoggerLevel.Error)
    return pulsar.Client(url, authentication=authentication, operation_timeout_seconds=OPERATION_SECONDS, logger=logger, **more)


@pytest.mark.parametrize("shown", [None, token("root", b"another secret of that many bytes..")])
def test_who_proves_nothing_learns_so_at_once(guarded, shown):
    asking = client(guarded.url, shown)
    began = time.monotonic()
    with pytest.raises(pulsar.PulsarException) as refused:
        asking.create_producer(TOPIC)
    asking.close()
    assert "Authentication" in str(refused.value) or "authentication" in str(refused.value), refused.value
    assert time.monotonic() - began < OPERATION_SECONDS / 2


def test_a_role_may_what_it_was_granted(guarded):
    app = client(guarded.url, token("app"))
    with pytest.raises(pulsar.PulsarException) as refused:
        app.create_producer(TOPIC)
    assert "uthoriz" in str(refused.value), refused.value
    guarded.rest("POST", "/namespaces/public/default/permissions/app", ["produce"])
    app.create_producer(TOPIC).send(b"granted")
    with pytest.raises(pulsar.PulsarException):
        app.subscribe(TOPIC, "s")
    guarded.rest("POST", "/namespaces/public/default/permissions/app", ["produce", "consume"])
    consumer = app.subscribe(TOPIC, "s", initial_position=pulsar.InitialPosition.Earliest)
    assert consumer.receive(10_000).data() == b"granted"
    app.close()


def test_both_ports_speak_tls(guarded, certificate):
    trusted = str(certificate / "cert.pem")
    over_tls = client(guarded.tls_url, token("root"), tls_trust_certs_file_path=trusted, tls_validate_hostname=False)
    topic = f"{TOPIC}-tls"
    consumer = over_tls.subscribe(topic, "s")
    over_tls.create_producer(topic).send(b"sealed" * 20_000)
    assert consumer.receive(10_000).data() == b"sealed" * 20_000
    over_tls.close()
    # The client looks the topic up over HTTPS and connects over TLS.
    by_http = client(guarded.web_tls_url, token("root"), tls_trust_certs_file_path=trusted, tls_validate_hostname=False,
                     use_tls=True)
    by_http.create_producer(topic).send(b"looked up")
    by_http.close()


def test_a_certificate_that_nobody_trusts_is_refused_by_the_client(guarded):
    asking = client(guarded.tls_url, token("root"))
    with pytest.raises(pulsar.PulsarException):
        asking.create_producer(TOPIC)
    asking.close()


def tool(guarded, folder, words, **settings):
    """Runs a tool of ours with a client.conf that logs in as the operator; answers what it printed and how it ended."""
    conf = folder / "client.conf"
    named = {"authPlugin": "token", "authParams": f"token:{token('root')}", **settings}
    conf.write_text("".join(f"{key}={value}\n" for key, value in named.items()))
    ran = subprocess.run([os.environ["LONGSHORE_BIN"], *words], capture_output=True, text=True, timeout=3 * OPERATION_SECONDS,
                         env={**os.environ, "PULSAR_CLIENT_CONF": str(conf)})
    return ran.returncode, ran.stdout + ran.stderr


def test_the_tools_speak_tls(guarded, certificate, tmp_path):
    web, service = guarded.web_tls_url, guarded.tls_url
    by_name = {"webServiceUrl": web.replace("127.0.0.1", "localhost"), "brokerServiceUrl": service.replace("127.0.0.1", "localhost")}
    by_number = {"webServiceUrl": web, "brokerServiceUrl": service}
    roots = {"tlsTrustCertsFilePath": certificate / "cert.pem"}
    listing = ["admin", "namespaces", "list", "public"]
    sending = ["client", "produce", f"{TOPIC}-tools", "-m", "sealed"]
    for words, good in [(listing, "public/default"), (sending, "1 messages successfully produced")]:
        for settings in [{**by_name, **roots}, {**by_number, **roots, "tlsEnableHostnameVerification": "false"},
                         {**by_number, "tlsAllowInsecureConnection": "true"}]:
            code, said = tool(guarded, tmp_path, words, **settings)
            assert code == 0 and good in said, (words, settings, said)
        for settings, why in [(by_name, "certificate"), ({**by_number, **roots}, "not valid for name"),
                              ({**by_name, "tlsTrustCertsFilePath": "/no/such.pem"}, "/no/such.pem")]:
            code, said = tool(guarded, tmp_path, words, **settings)
            assert code != 0 and why in said, (words, settings, said)
    pulsarctl = ["pulsarctl", "-s", by_name["webServiceUrl"], "--tls-trust-cert-path", str(roots["tlsTrustCertsFilePath"])]
    code, said = tool(guarded, tmp_path, [*pulsarctl, "topics", "get", f"{TOPIC}-tools"])
    assert code == 0, said
    perf = ["perf", "produce", "-u", by_name["brokerServiceUrl"], "--trust-cert-file", str(roots["tlsTrustCertsFilePath"])]
    code, said = tool(guarded, tmp_path, [*perf, "-m", "100", "-r", "1000", f"{TOPIC}-tools"])
    assert code == 0, said


def test_a_client_shows_its_own_certificate_where_one_is_demanded(tmp_path, certificate):
    tls_port = free_port()
    folder = tmp_path / "demanding"
    folder.mkdir()
    broker = Broker(folder, {
        "brokerServicePortTls": tls_port,
        "tlsCertificateFilePath": certificate / "cert.pem",
        "tlsKeyFilePath": certificate / "key.pem",
        "tlsTrustCertsFilePath": certificate / "cert.pem",
        "tlsRequireTrustedClientCertOnConnect": "true",
        "advertisedAddress": "localhost",
    })
    broker.start()
    try:
        words = ["client", "produce", "shown", "-m", "who"]
        settings = {"brokerServiceUrl": f"pulsar+ssl://localhost:{tls_port}", "tlsTrustCertsFilePath": certificate / "cert.pem"}
        code, said = tool(broker, tmp_path, words, **settings)
        assert code != 0, said
        code, said = tool(broker, tmp_path, words, **settings, tlsCertificateFilePath=certificate / "client.pem",
                          tlsKeyFilePath=certificate / "client.key")
        assert code == 0, said
    finally:
        broker.stop()


def test_http_without_a_token_is_refused(guarded):
    stranger = Broker.rest
    with pytest.raises(urllib.error.HTTPError) as refused:
        root, guarded.token = guarded.token, None
        try:
            stranger(guarded, "GET", "/namespaces/public")
        finally:
            guarded.token = root
    assert refused.value.code == 401
    assert json.loads(refused.value.read())["reason"] == "Authentication required"


def test_a_renewed_certificate_is_shown_and_a_broken_one_is_not(guarded, certificate):
    def shown():
        port = int(guarded.web_tls_url.rsplit(":", 1)[1])
        return ssl.get_server_certificate(("127.0.0.1", port))

    first = (certificate / "cert.pem").read_text()
    assert shown().split() == first.split()
    (certificate / "key.pem").write_text("no key")
    assert shown().split() == first.split(), "the former one stays"
    issue(certificate)
    renewed = (certificate / "cert.pem").read_text()
    assert renewed != first and shown().split() == renewed.split()
