"""Hooks for schemathesis: requests go to servers under their own names on this machine, and each carries the statement that
its user has signed, as docs/spec/http-api.md specifies it. Identifiers are sometimes those of what is really there.

DATAPACT_CALLER names the folder of the profile whose user calls; without it nothing is signed.
DATAPACT_KNOWN is a JSON object of lists: by the name of a parameter in the path, values that exist."""

import base64
import hashlib
import json
import os
import secrets
import socket
import time

import requests
import schemathesis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

CALLER = os.environ.get("DATAPACT_CALLER")
KNOWN = json.loads(os.environ.get("DATAPACT_KNOWN", "{}"))

_resolve = socket.getaddrinfo


def _here(host, *rest, **options):
    """All names are this machine's."""
    return _resolve("127.0.0.1", *rest, **options)


socket.getaddrinfo = _here


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Statement(requests.auth.AuthBase):
    """Signs the very request that is sent."""

    def __init__(self, folder):
        with open(os.path.join(folder, "key.pem"), "rb") as file:
            self.key = serialization.load_pem_private_key(file.read(), None)
        with open(os.path.join(folder, "certificate.pem"), "rb") as file:
            chain = x509.load_pem_x509_certificates(file.read())
        self.chain = [base64.b64encode(c.public_bytes(serialization.Encoding.DER)).decode() for c in chain]
        with open(os.path.join(folder, "profile.json"), encoding="utf-8") as file:
            self.signer = json.load(file)["identity"]

    def __call__(self, request):
        body = {"method": request.method, "target": request.path_url}
        content = request.body or b""
        if isinstance(content, str):
            content = content.encode()
        if content and request.headers.get("Content-Type") != "application/octet-stream":
            body["content"] = hashlib.sha256(content).hexdigest()
        header = {"alg": "ES256", "typ": "datapact-statement+jws", "x5c": self.chain}
        payload = {
            "type": "statement",
            "audience": requests.utils.urlparse(request.url).hostname,
            "signer": self.signer,
            "time": int(time.time()),
            "nonce": secrets.token_hex(32),
            "body": body,
        }
        text = ".".join(_base64url(json.dumps(part).encode()) for part in (header, payload))
        der = self.key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
        r, s = utils.decode_dss_signature(der)
        signature = _base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
        request.headers["Datapact-Statement"] = f"{text}.{signature}"
        return request


STATEMENT = Statement(CALLER) if CALLER else None


@schemathesis.hook
def before_call(context, case, kwargs):
    if STATEMENT:
        kwargs["auth"] = STATEMENT


@schemathesis.hook
def map_path_parameters(context, parameters):
    for name, values in KNOWN.items():
        if parameters and name in parameters and values:
            # Every other time, by what was generated.
            drawn = hashlib.sha256(str(parameters[name]).encode()).digest()
            if drawn[0] % 2:
                parameters[name] = values[drawn[1] % len(values)]
    return parameters
