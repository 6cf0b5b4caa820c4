#!/usr/bin/env python3
"""Opens a data-sharing package: a reader written from docs/spec/package.md alone.

    open_package.py PACKAGE KEY_FILE [--metadata DIGEST] [--provider REALM:SUBJECT] [--provider-key DIGEST] > DATA

It verifies all that the page demands but the trust in the provider's certificate, and writes the data to standard
output. A refusal's name goes to standard error, with exit code 1. Needs PyPI `cryptography` >= 50 and `blake3`.
"""

import argparse
import base64
import hashlib
import json
import os
import re
import sys
import unicodedata

from blake3 import blake3
from cryptography import x509
from cryptography.cobblestone import Cobblestone256Decryptor
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

MAGIC, END = b"datapact-pkg", b"datapact-end"
HEADER, TRAILER, PREFIX, CHUNK, TAG = 80, 16, 56, 16384, 16
JWS_MAX, CONTENT_MAX, GROUPS_MAX = 262144, 2**41, 2**18


class Refused(Exception):
    """A package or key that is not accepted; its text is the refusal's name."""


def need(condition, name):
    if not condition:
        raise Refused(name)


def read_key(path):
    with open(path, "rb") as file:
        match = re.fullmatch(rb"datapact-data-key-1:([0-9a-f]{64})\n?", file.read(128))
    need(match, "key-file")
    return bytes.fromhex(match.group(1).decode())


def base64url(text):
    """Base64url without padding, as strict as a signed text must be."""
    need(re.fullmatch(r"[A-Za-z0-9_-]*", text), "metadata")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise Refused("metadata") from None
    need(base64.urlsafe_b64encode(data).rstrip(b"=").decode() == text, "metadata")
    return data


def members(value, required, optional=()):
    need(isinstance(value, dict), "metadata")
    need(set(required) <= set(value) <= set(required) | set(optional), "metadata")


def unique(pairs):
    need(len(dict(pairs)) == len(pairs), "metadata")
    return dict(pairs)


def parse_json(data):
    try:
        return json.loads(data, object_pairs_hook=unique)
    except ValueError:
        raise Refused("metadata") from None


def is_hex(value, digits):
    return isinstance(value, str) and re.fullmatch(f"[0-9a-f]{{{digits}}}", value) is not None


def is_plain(value, least, most):
    """Text of so many bytes without control characters."""
    controls = isinstance(value, str) and any(unicodedata.category(c) == "Cc" for c in value)
    return isinstance(value, str) and least <= len(value.encode()) <= most and not controls


def is_count(value):
    return type(value) is int and 0 <= value < 2**64


def read_metadata(text):
    """The payload, its digest, and the digest of the key that signed it."""
    parts = text.split(".")
    need(len(parts) == 3, "metadata")
    protected, payload, signature = map(base64url, parts)
    header = parse_json(protected)
    members(header, ["alg", "typ", "x5c"])
    need(header["alg"] == "ES256" and header["typ"] == "datapact-package-metadata+jws", "metadata")
    chain = header["x5c"]
    need(isinstance(chain, list) and 1 <= len(chain) <= 5, "metadata")
    try:
        key = x509.load_der_x509_certificate(base64.b64decode(chain[0], validate=True)).public_key()
    except (ValueError, TypeError):
        raise Refused("metadata") from None
    need(isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1), "metadata")
    need(len(signature) == 64, "metadata")
    der = utils.encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
    try:
        key.verify(der, f"{parts[0]}.{parts[1]}".encode(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Refused("metadata") from None
    document = parse_json(payload)
    members(document, ["type", "audience", "signer", "time", "nonce", "body"])
    need(document["type"] == "package-metadata" and document["audience"] == "*", "metadata")
    members(document["signer"], ["realm", "subject"])
    realm, subject = document["signer"]["realm"], document["signer"]["subject"]
    need(isinstance(realm, str) and re.fullmatch(r"[a-z0-9.-]{1,64}", realm), "metadata")
    need(is_plain(subject, 1, 512), "metadata")
    need(is_count(document["time"]) and is_hex(document["nonce"], 64), "metadata")
    body = document["body"]
    members(body, ["package", "key", "provider_key", "media_type", "size", "root"], ["management", "share"])
    need(is_hex(body["package"], 32) and is_hex(body["key"], 32) and is_hex(body["provider_key"], 64), "metadata")
    need(is_count(body["size"]) and is_hex(body["root"], 64) and isinstance(body["media_type"], str), "metadata")
    need(isinstance(body.get("management", ""), str), "metadata")
    need(body.get("share") is None or is_hex(body["share"], 32), "metadata")
    need(is_plain(body.get("management", ""), 0, 2048), "malformed")
    need(re.fullmatch(r"[ -~]{1,255}", body["media_type"]), "malformed")
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return document, hashlib.sha256(payload).hexdigest(), hashlib.sha256(spki).hexdigest()


def commits(key, header, prefix):
    """Whether the payload's commitment is that of this key and header."""
    info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + prefix[:24] + header
    derived = HKDFExpand(algorithm=hashes.SHA512(), length=76, info=info).derive(key)
    compare = hmac.HMAC(key, hashes.SHA256())
    compare.update(derived[44:])
    again = hmac.HMAC(key, hashes.SHA256())
    again.update(prefix[24:])
    return compare.finalize() == again.finalize()


def open_package(file, key, expected, out):
    length = os.fstat(file.fileno()).st_size
    header = file.read(HEADER)
    need(header and MAGIC.startswith(header[:12]), "not-a-package")
    need(len(header) == HEADER, "truncated")
    need(int.from_bytes(header[12:16]) == 1, "version")

    file.seek(length - min(length, 2**20))
    tail = file.read()
    if not tail.endswith(END):
        raise Refused("extended" if END in tail else "truncated")
    file.seek(length - TRAILER)
    metadata_length = int.from_bytes(file.read(4))
    need(metadata_length <= JWS_MAX, "metadata")
    need(HEADER + metadata_length + TRAILER <= length, "truncated")
    file.seek(length - TRAILER - metadata_length)
    try:
        text = file.read(metadata_length).decode()
    except UnicodeDecodeError:
        raise Refused("malformed") from None
    document, digest, signed_by = read_metadata(text)
    body = document["body"]

    named = bytes.fromhex(body["package"] + body["key"] + body["provider_key"])
    need(named == header[16:], "reheaded")
    need(body["provider_key"] == signed_by, "wrong-provider")
    size = body["size"]
    content = HEADER + PREFIX + size + TAG * (size // CHUNK + 1)
    need(content <= CONTENT_MAX, "too-large")
    group = 2**18
    while -(-content // group) > GROUPS_MAX:
        group *= 2
    groups = -(-content // group)
    right = content + (32 * groups if groups > 1 else 0) + metadata_length + TRAILER
    need(length >= right, "truncated")
    need(length <= right, "extended")

    signer = f"{document['signer']['realm']}:{document['signer']['subject']}"
    need(expected.provider in (None, signer), "wrong-provider")
    need(expected.provider_key in (None, signed_by), "wrong-provider")
    need(expected.metadata in (None, digest), "unexpected")

    file.seek(0)
    hasher, left = blake3(), content
    while left:
        piece = file.read(min(left, 2**20))
        need(piece, "truncated")
        hasher.update(piece)
        left -= len(piece)
    signed = hasher.hexdigest() == body["root"]
    file.seek(HEADER)
    committed = commits(key, header, file.read(PREFIX))
    need(signed or committed, "swapped")
    need(signed, "altered")
    need(committed, "wrong-key")

    # The content is the provider's: decrypt it.
    file.seek(HEADER)
    cobblestone, left = Cobblestone256Decryptor(key, header), content - HEADER
    try:
        while left:
            piece = file.read(min(left, 2**20))
            out.write(cobblestone.update(piece))
            left -= len(piece)
        out.write(cobblestone.finalize())
    except Exception:  # The library's own kinds of failure all mean this.
        raise Refused("malformed") from None


def main():
    parser = argparse.ArgumentParser(description="Opens a data-sharing package.")
    parser.add_argument("package")
    parser.add_argument("key_file")
    parser.add_argument("--metadata", help="the metadata's digest, as a policy names it")
    parser.add_argument("--provider", help="who must have signed, REALM:SUBJECT")
    parser.add_argument("--provider-key", help="SHA-256 of the key that must have signed")
    arguments = parser.parse_args()
    try:
        with open(arguments.package, "rb") as file:
            open_package(file, read_key(arguments.key_file), arguments, sys.stdout.buffer)
    except Refused as refused:
        print(refused, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
