"""Verifies what Latchkey signs, with PyJWT (2.6 or newer) and cryptography: copy everything above the line into an app.
docs/offline.md says why each step is there.

    python3 verify.py [tokens.json ...]    checks the vectors in these files, or all; exit code 1 if one has another result than it says
"""

import base64
import binascii
import hashlib
import json
import re
import sys
from pathlib import Path

import jwt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TYPES = {"validation": "latchkey-validation+jwt", "license": "latchkey-license+jwt", "machine": "latchkey-machine+jwt"}
LABELS = {"license": "LICENSE", "machine": "MACHINE"}


class Refused(Exception):
    """Why a document is refused: `reason` is one of those in docs/offline.md."""

    def __init__(self, reason: str):
        super().__init__(f"The document is refused: {reason}.")
        self.reason = reason


def verify(
    document: str,
    keys: dict,
    *,
    kind: str,
    audience: str,
    environment: str,
    now: int,
    fingerprint: str = None,
    nonce: str = None,
    license: str = None,
    product: str = None,
    licenseKey: str = None,
) -> dict:
    """The claims of a document or .lic file, or Refused.

    keys: the pinned key set, as of /.well-known/jwks.json.
    kind: validation, license or machine. audience: the id of your account. environment: live or test.
    now: seconds since 1970. fingerprint: of this machine; a must for machine documents.
    Where they are known: nonce (that was sent), license (its id), product (its code; not in validations),
    licenseKey (as displayed; opens what is encrypted).
    """
    if kind not in TYPES:
        raise ValueError(f"There is no kind {kind}.")
    if kind == "machine" and fingerprint is None:
        raise ValueError("A machine document needs a fingerprint.")
    token = read_file(document, kind) if re.match(r"\s*-----", document) else document
    if token.count(".") == 4:
        token = decrypt(token, kind, licenseKey, fingerprint)
    claims = verify_signature(token, keys, TYPES[kind])

    exp = claims.get("exp")
    if isinstance(exp, bool) or not isinstance(exp, (int, float)) or abs(exp) > 2**53 - 1 or exp != int(exp):
        raise Refused("malformed")
    if claims.get("iss") != "latchkey":
        raise Refused("wrong_issuer")
    if claims.get("aud") != audience:
        raise Refused("wrong_audience")
    if claims.get("environment") != environment:
        raise Refused("wrong_environment")
    if now >= exp:
        raise Refused("expired")
    if license is not None and claims.get("sub") != license:
        raise Refused("wrong_license")
    said = claims.get("product")
    if product is not None and (said.get("code") if isinstance(said, dict) else None) != product:
        raise Refused("wrong_product")
    if nonce is not None and claims.get("nonce") != nonce:
        raise Refused("wrong_nonce")
    if fingerprint is not None and kind != "license" and claims.get("fingerprint") != fingerprint:
        raise Refused("wrong_fingerprint")
    return claims


def verify_signature(token: str, keys: dict, typ: str) -> dict:
    """The claims of a compact JWS that one of the keys signed as a document of this type."""
    encoded_header, payload, signature = parts_of(token, 3)
    header = object_of(encoded_header)
    if header.get("alg") != "EdDSA":
        raise Refused("wrong_algorithm")
    if "crit" in header or "b64" in header:
        raise Refused("malformed")
    if header.get("typ") != typ:
        raise Refused("wrong_type")
    # A key of the header itself (jwk, jku, x5c) is never looked at.
    jwk = next((key for key in keys["keys"] if key["kid"] == header.get("kid")), None)
    if jwk is None:
        raise Refused("unknown_key")
    if len(signature) != 64:
        raise Refused("bad_signature")
    try:
        jwt.PyJWS(algorithms=["EdDSA"]).decode(token, jwt.PyJWK(jwk).key, algorithms=["EdDSA"])
    except jwt.PyJWTError:
        raise Refused("bad_signature") from None
    return object_of(payload)


def decrypt(token: str, kind: str, license_key: str, fingerprint: str) -> str:
    """The JWS inside a compact JWE (`dir`, A256GCM)."""
    encoded_header, encrypted_key, iv, text, tag = parts_of(token, 5)
    header = object_of(encoded_header)
    if header.get("alg") != "dir" or header.get("enc") != "A256GCM":
        raise Refused("wrong_algorithm")
    if "crit" in header or "zip" in header or kind == "validation":
        raise Refused("malformed")
    if len(encrypted_key) != 0 or len(iv) != 12 or len(tag) != 16:
        raise Refused("malformed")
    if license_key is None:
        raise Refused("cannot_decrypt")
    secret = license_key + fingerprint if kind == "machine" else license_key
    protected_header = token.split(".")[0].encode("ascii")
    try:
        plain = AESGCM(hashlib.sha256(secret.encode("utf-8")).digest()).decrypt(iv, text + tag, protected_header)
    except InvalidTag:
        raise Refused("cannot_decrypt") from None
    return text_of(plain)


def read_file(file: str, kind: str) -> str:
    """The document in a .lic file. Line ends may be CRLF, lines of any length, and white space around the whole is ignored."""
    lines = file.strip(" \t\r\n").replace("\r\n", "\n").split("\n")
    begin = re.fullmatch(r"-----BEGIN LATCHKEY (LICENSE|MACHINE)-----", lines[0])
    body = lines[1:-1]
    if begin is None or lines[-1] != f"-----END LATCHKEY {begin[1]}-----":
        raise Refused("malformed")
    if "" in body:
        raise Refused("malformed")
    token = text_of(bytes_of("".join(body), base64.b64decode, base64.b64encode))
    if begin[1] != LABELS.get(kind):
        raise Refused("wrong_type")
    return token


def parts_of(token: str, count: int) -> list:
    """The bytes of each part between the dots."""
    parts = token.split(".")
    if len(parts) != count or "=" in token:
        raise Refused("malformed")
    padded = [part + "=" * (-len(part) % 4) for part in parts]
    return [bytes_of(part, base64.urlsafe_b64decode, base64.urlsafe_b64encode) for part in padded]


def bytes_of(text: str, decode, encode) -> bytes:
    """Only the one text that these bytes are written as: decoders take others too."""
    try:
        data = decode(text.encode("ascii"))
    except (UnicodeEncodeError, binascii.Error):
        raise Refused("malformed") from None
    if encode(data).decode("ascii") != text:
        raise Refused("malformed")
    return data


def text_of(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("malformed") from None


def object_of(data: bytes) -> dict:
    text = text_of(data)
    try:
        value = json.loads(text, parse_constant=no_constant)
    except (ValueError, RecursionError):
        raise Refused("malformed") from None
    if not isinstance(value, dict) or not is_plain(value, 64):
        raise Refused("malformed")
    return value


def is_plain(value, depth: int) -> bool:
    """What every language reads alike: nested no deeper than this, and no number beyond a double."""
    if isinstance(value, (int, float)):
        return abs(value) <= sys.float_info.max
    if not isinstance(value, (dict, list)):
        return True
    members = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(is_plain(member, depth - 1) for member in members)


def no_constant(name: str):
    """Python reads NaN and Infinity, which JSON does not have."""
    raise ValueError(name)


def make_request(*, licenseKey: str, fingerprint: str, nonce: str, name: str = None, platform: str = None) -> str:
    """What an app without a network writes down for its activation: base64 of JSON."""
    digest = hashlib.sha256(licenseKey.encode("utf-8")).hexdigest()
    said = {"v": 1, "keyDigest": digest, "fingerprint": fingerprint, "name": name, "platform": platform, "nonce": nonce}
    said = {key: value for key, value in said.items() if value is not None}
    return base64.b64encode(json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode("utf-8")).decode("ascii")


# ---- The line: from here on it is about the vectors ------------------------------------------------------------------


def result_of(vector: dict, key_sets: dict) -> dict:
    if "make" in vector:
        return {"request": make_request(**vector["make"])}
    try:
        return {"claims": verify(vector["document"], key_sets[vector["keySet"]], **vector["expect"])}
    except Refused as refused:
        return {"refused": refused.reason}


if __name__ == "__main__":
    key_sets = json.loads(Path(__file__).with_name("keys.json").read_text("utf-8"))
    all_files = [Path(__file__).with_name(f"{name}.json") for name in ("tokens", "files", "encrypted", "air-gapped", "bit-flips")]
    vectors = [vector for file in sys.argv[1:] or all_files for vector in json.loads(Path(file).read_text("utf-8"))]
    failed = 0
    for vector in vectors:
        result = result_of(vector, key_sets)
        if result == vector["result"]:
            continue
        failed += 1
        print(f"FAIL {vector['name']}\n  expected {json.dumps(vector['result'])}\n  got      {json.dumps(result)}")
    print(f"{len(vectors) - failed} passed, {failed} failed")
    sys.exit(0 if failed == 0 and vectors else 1)
