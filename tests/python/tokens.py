"""Tokens that a broker of the tests checks, and what it is told for that."""
import base64
import hashlib
import hmac
import json

SECRET = b"a secret of at least thirty-two bytes"
# The broker's configuration: who shows no token of this secret is nobody, and only `root` may everything.
CHECKED = {
    "authenticationEnabled": "true",
    "authenticationProviders": "org.apache.pulsar.broker.authentication.AuthenticationProviderToken",
    "tokenSecretKey": "data:;base64," + base64.b64encode(SECRET).decode(),
    "authorizationEnabled": "true",
    "superUserRoles": "root",
}


def token(role, secret=SECRET, **claims):
    def part(content):
        return base64.urlsafe_b64encode(content).rstrip(b"=")

    signed = part(b'{"alg":"HS256"}') + b"." + part(json.dumps({"sub": role, **claims}).encode())
    return (signed + b"." + part(hmac.new(secret, signed, hashlib.sha256).digest())).decode()
