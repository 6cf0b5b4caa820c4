"""Reads the vectors of docs/spec/access-token-and-key-release.md by that page alone, without Datapact's code.

Needs Python 3.10 and the package `cryptography`. Run it in this folder: python3 check.py
"""

import base64
import hashlib
import hmac
import json
import pathlib

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HERE = pathlib.Path(__file__).parent


def extract(suite, salt, label, key):
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + key, "sha256")


def expand(suite, key, label, info, length):
    info, out, block = length.to_bytes(2) + b"HPKE-v1" + suite + label + info, b"", b""
    for counter in range(1, 9):
        block = hmac.digest(key, block + info + bytes([counter]), "sha256")
        out += block
    return out[:length]


def open_sealed(private, encapsulated, info, ciphertext):
    """RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256) 0x0020, HKDF-SHA256 0x0001, AES-256-GCM 0x0002."""
    kem, suite = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x02"
    private = X25519PrivateKey.from_private_bytes(private)
    shared = private.exchange(X25519PublicKey.from_public_bytes(encapsulated))
    context = encapsulated + private.public_key().public_bytes_raw()
    shared = expand(kem, extract(kem, b"", b"eae_prk", shared), b"shared_secret", context, 32)
    context = b"\0" + extract(suite, b"", b"psk_id_hash", b"") + extract(suite, b"", b"info_hash", info)
    secret = extract(suite, shared, b"secret", b"")
    key, nonce = expand(suite, secret, b"key", context, 32), expand(suite, secret, b"base_nonce", context, 12)
    plain = AESGCM(key).decrypt(nonce, ciphertext, b"")
    if len(plain) != 32:
        raise ValueError("not 32 bytes")
    return plain


def releases():
    vectors = json.loads((HERE / "vectors.json").read_text())
    for vector in vectors:
        sealed = vector["sealed"]
        encapsulated, ciphertext = bytes.fromhex(sealed["encapsulated"]), bytes.fromhex(sealed["ciphertext"])
        assert hashlib.sha256(encapsulated + ciphertext).hexdigest() == vector["digest"], vector["name"]
        private, info = bytes.fromhex(vector["private"]), bytes.fromhex(vector["key_request"])
        try:
            key = open_sealed(private, encapsulated, info, ciphertext).hex()
        except (InvalidTag, ValueError):
            assert vector["expect"] == "open", vector["name"]
        else:
            assert (vector["expect"], vector["key"]) == ("ok", key), vector["name"]
    return len(vectors)


HEX = {"sub": 32, "client_id": 32, "jti": 64, "share": 32, "key": 32, "package": 32, "request": 64, "salt": 64}
NUMBERS, TEXTS = ["iat", "exp", "position"], ["iss", "aud", "contract"]


def b64(text):
    if set(text) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"):
        raise ValueError("not base64url")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def once(pairs):
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a member twice")
    return dict(pairs)


def check_claims(claims):
    if set(claims) != {*HEX, *NUMBERS, *TEXTS, "cnf"} or set(claims["cnf"]) != {"x5t#S256"}:
        raise ValueError("members")
    for name, digits in HEX.items():
        if len(claims[name]) != digits or set(claims[name]) - set("0123456789abcdef"):
            raise ValueError(name)
    if any(type(claims[name]) is not int or claims[name] < 0 for name in NUMBERS):
        raise ValueError("numbers")
    if any(type(claims[name]) is not str for name in TEXTS):
        raise ValueError("texts")


def verify(jwks, vector):
    try:
        header, payload, signature = vector["token"].split(".")
        decoded = json.loads(b64(header), object_pairs_hook=once)
        payload, signature = b64(payload), b64(signature)
        if set(decoded) != {"alg", "typ", "kid"}:
            return "malformed"
    except ValueError:
        return "malformed"
    if (decoded["alg"], decoded["typ"]) != ("ES256", "at+jwt"):
        return "algorithm"
    jwk = next((jwk for jwk in jwks["keys"][:16] if jwk["kid"] == decoded["kid"]), None)
    if jwk is None:
        return "unknown-key"
    if len(signature) != 64:
        return "signature"
    x, y = (int.from_bytes(b64(jwk[name])) for name in "xy")
    der = utils.encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
    signed = vector["token"].rsplit(".", 1)[0].encode()
    try:
        ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key().verify(der, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return "signature"
    try:
        claims = json.loads(payload, object_pairs_hook=once)
        check_claims(claims)
    except (ValueError, TypeError, KeyError):
        return "malformed"
    if (claims["iss"], claims["aud"]) != (vector["issuer"], vector["audience"]):
        return "audience"
    if claims["iat"] > vector["now"] + vector["skew"]:
        return "not-yet"
    if vector["now"] >= claims["exp"] or claims["exp"] - claims["iat"] > 600:
        return "expired"
    assert claims == vector["claims"], vector["name"]
    return "ok"


def tokens():
    file = json.loads((HERE / "../token/vectors.json").read_text())
    for vector in file["vectors"]:
        assert verify(file["jwks"], vector) == vector["expect"], vector["name"]
    return len(file["vectors"])


print(f"{tokens()} tokens and {releases()} sealed keys are as the vectors say")
