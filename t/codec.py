#!/usr/bin/env python3
"""Makes and reads session tokens, to compare the module with an implementation that shares no line with it.

Written from the description of the format alone. Standard input holds a JSON object on each line, standard output gets one
for each: the same questions and answers as those of crates/session/examples/codec.rs, and more of them where a test has to
make tokens that no module would make:

    encode   raw             base64url of the plaintext, instead of data, subject, info and others
             deflate         "auto" (default: over the threshold and smaller), "yes", "no", "stored", "best", "huffman"
             flags           more flags to set
             type, idling    other values for these fields
             data_size       another size than the payload has
             escape_slashes  write / as \\/, as some JSON encoders do
    decode   answers with all audiences in `audiences`: a list of {audience, subject, data, info}
    record   audience, subject, hash_subject: the two as they are in names
"""

import base64
import hashlib
import hmac
import json
import sys
import zlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

HEADER_TEXT = 110
MAX_COOKIE = 4096
MAX_COOKIES = 9
MAX_LIFE = 400 * 86400
FLAG_STORAGE, FLAG_FORGET, FLAG_DEFLATE = 0x0001, 0x0002, 0x0010
BINDS = (("ip", 0x0100, "address"), ("scheme", 0x0200, "scheme"), ("user_agent", 0x0400, "user_agent"))
ROUNDS = {"Low": 1_000, "Medium": 10_000, "High": 100_000, "Very High": 1_000_000}


class Refused(Exception):
    """What came is not a good token; the text is `status: why`."""


# --- texts and numbers ---

def to_text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def to_bytes(text, what):
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise Refused(f"bad-format: {what} is not base64") from error
    if to_text(data) != text:
        raise Refused(f"bad-format: {what} has unused bits set")
    return data


def number(data):
    return int.from_bytes(data, "little")


# --- keys ---

def key_material(question):
    if question.get("ikm"):
        own = bytes.fromhex(question["ikm"])
    else:
        own = hashlib.sha256(question["secret"].encode()).digest()
    return [own] + [hashlib.sha256(text.encode()).digest() for text in question.get("fallbacks", [])]


def expand(ikm, usage, session_id, length):
    extracted = hmac.new(bytes(32), ikm, hashlib.sha256).digest()
    return HKDFExpand(algorithm=hashes.SHA256(), length=length, info=usage + b":" + session_id).derive(extracted)


def cipher_of(question, ikm, session_id):
    safety = question.get("safety", "Medium")
    if question.get("kind") == "remember" and safety != "None":
        material = hashlib.pbkdf2_hmac("sha256", ikm, b"encryption:" + session_id, ROUNDS[safety], 44)
    else:
        material = expand(ikm, b"encryption", session_id, 44)
    return AESGCM(material[:32]), material[32:]


def mac_of(question, ikm, session_id, flags, message):
    values = [question.get(field, "") for _, flag, field in BINDS if flags & flag]
    values = [value.encode() for value in values if value]
    if values:
        message += b"#" + hashlib.sha256(b"|".join(values)).digest()
    return hmac.new(expand(ikm, b"authentication", session_id, 32), message, hashlib.sha256).digest()[:16]


# --- the header ---

FIELDS = (("type", 1), ("flags", 2), ("id", 32), ("created", 5), ("rolling", 4), ("size", 3), ("tag", 16), ("idling", 3), ("mac", 16))


def read_header(text):
    if len(text) < HEADER_TEXT:
        raise Refused("bad-format: shorter than a header")
    data, header, at = to_bytes(text[:HEADER_TEXT], "the header"), {}, 0
    for name, length in FIELDS:
        part = data[at:at + length]
        header[name] = part if name in ("id", "tag", "mac") else number(part)
        at += length
    if header["type"] != 1:
        raise Refused("bad-format: another type")
    return header, data


def write_header(header):
    data = b""
    for name, length in FIELDS:
        if name in header:
            part = header[name]
            data += part if isinstance(part, bytes) else part.to_bytes(length, "little")
    return data


# --- the content ---

def deflate(plain, level=6, strategy=zlib.Z_DEFAULT_STRATEGY):
    packer = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    return packer.compress(plain) + packer.flush()


def pack(question, plain):
    how = question.get("deflate", "auto")
    if how == "stored":
        return deflate(plain, 0), True
    if how == "best":
        return deflate(plain, 9), True
    if how == "huffman":
        return deflate(plain, 6, zlib.Z_HUFFMAN_ONLY), True
    packed = deflate(plain)
    threshold = question.get("compression_threshold", 1024)
    if how == "yes" or how == "auto" and threshold and len(plain) > threshold and len(packed) < len(plain):
        return packed, True
    return plain, False


def stored_data(part, in_cookie):
    if not in_cookie:
        return part.get("data", {})
    data = {("$" + key if key.startswith("@") else key): value for key, value in part.get("data", {}).items()}
    data.update({"@" + key: value for key, value in part.get("info", {}).items()})
    return data


def plaintext(question):
    if "raw" in question:
        return base64.urlsafe_b64decode(question["raw"] + "=" * (-len(question["raw"]) % 4))
    in_cookie = question.get("place", "cookie") == "cookie"
    own = dict(question, audience=question.get("audience", "default"))
    entries = []
    for part in question.get("others", []) + [own]:
        entry = [stored_data(part, in_cookie), part["audience"]]
        if part.get("subject") is not None:
            entry.append(part["subject"])
        entries.append(entry)
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":"))
    if question.get("escape_slashes"):
        text = text.replace("/", "\\/")
    return text.encode()


def audiences(plain, in_cookie, info):
    try:
        entries = json.loads(plain)
    except ValueError as error:
        raise Refused("bad-format: the content is not JSON") from error
    found = []
    for entry in entries:
        data = entry[0]
        own_info = dict(info.get(entry[1], {}))
        if in_cookie:
            own_info = {key[1:]: value for key, value in data.items() if key.startswith("@")}
            data = {(key[1:] if key.startswith("$@") else key): value for key, value in data.items() if not key.startswith("@")}
        found.append({"audience": entry[1], "subject": entry[2] if len(entry) > 2 else None, "data": data, "info": own_info})
    return found


# --- cookies ---

def split(name, token):
    if len(name) + 1 + len(token) <= MAX_COOKIE:
        return [{"name": name, "value": token}]
    first, rest = MAX_COOKIE - len(name) - 1, MAX_COOKIE - len(name) - 2
    cookies = [{"name": name, "value": token[:first]}]
    for at in range(first, len(token), rest):
        cookies.append({"name": f"{name}{len(cookies) + 1}", "value": token[at:at + rest]})
    if len(cookies) > MAX_COOKIES or sum(len(c["name"]) + 1 + len(c["value"]) for c in cookies) > MAX_COOKIES * MAX_COOKIE:
        raise Refused("not-saved: too large")
    return cookies


def join(name, lines):
    found = {}
    for line in [lines] if isinstance(lines, str) else lines:
        for pair in line.split(";"):
            key, _, value = pair.strip().partition("=")
            found.setdefault(key, value)
    if name not in found:
        raise Refused("missing: no such cookie")
    token = found[name]
    header, _ = read_header(token)
    number_of_next = 2
    while not header["flags"] & FLAG_STORAGE and len(token) < HEADER_TEXT + header["size"]:
        if f"{name}{number_of_next}" not in found:
            raise Refused("bad-format: a part is missing")
        token += found[f"{name}{number_of_next}"]
        number_of_next += 1
    return token


# --- questions ---

def storage_key(question, session_id):
    return to_text(hashlib.sha256(session_id).digest() if question.get("hash_storage_key") else session_id)


def encode(question):
    ikm = key_material(question)[0]
    session_id = bytes.fromhex(question["id"])
    in_cookie = question.get("place", "cookie") == "cookie"
    plain, deflated = pack(question, plaintext(question))
    flags = question.get("flags", 0) | (0 if in_cookie else FLAG_STORAGE)
    flags |= (FLAG_FORGET if question.get("forget") else 0) | (FLAG_DEFLATE if deflated else 0)
    for word, flag, _ in BINDS:
        flags |= flag if word in question.get("bind", []) else 0
    created = question.get("created", question["now"])
    saved = question["now"] - created
    size = question.get("data_size", (4 * len(plain) + 2) // 3)
    header = {"type": question.get("type", 1), "flags": flags, "id": session_id, "created": created, "rolling": saved, "size": size}
    authentic = write_header(header)
    cipher, iv = cipher_of(question, ikm, session_id)
    sealed = cipher.encrypt(iv, plain, authentic)
    payload, header["tag"] = to_text(sealed[:-16]), sealed[-16:]
    touched = question.get("touched", question["now"]) - question["now"]
    header["idling"] = question.get("idling", touched)
    header["mac"] = mac_of(question, ikm, session_id, flags, write_header(header))
    text = to_text(write_header(header))
    token = text + payload if in_cookie else text
    answer = {"ok": True, "token": token, "cookies": split(question.get("cookie_name", "session"), token), "key": storage_key(question, session_id)}
    if not in_cookie:
        answer["record"] = record_value(question, payload)
        answer["ttl"] = record_life(question, created)
    return answer


def record_value(question, payload):
    info = {part["audience"]: part["info"] for part in question.get("others", []) if part.get("info")}
    if question.get("info"):
        info[question.get("audience", "default")] = question["info"]
    parts = [payload]
    if info or question.get("successor"):
        parts.append(to_text(json.dumps(info, separators=(",", ":")).encode()))
    if question.get("successor"):
        parts.append(question["successor"])
    return json.dumps(parts, separators=(",", ":"))


def record_life(question, created):
    times, remembered = question.get("times", {}), question.get("kind") == "remember"
    rolling = times.get("remember_rolling" if remembered else "rolling", 0)
    absolute = times.get("remember_absolute" if remembered else "absolute", 0)
    lives = [MAX_LIFE] + ([rolling] if rolling else []) + ([absolute - (question["now"] - created)] if absolute else [])
    return max(min(lives), 1)


def decode(question):
    name = question.get("cookie_name", "session")
    token = question["token"] if "token" in question else join(name, question["cookie"])
    header, data = read_header(token)
    in_cookie = question.get("place", "cookie") == "cookie"
    if bool(header["flags"] & FLAG_STORAGE) == in_cookie:
        raise Refused("bad-format: the content is elsewhere")
    for word, flag, _ in BINDS:
        if word in question.get("bind", []) and not header["flags"] & flag:
            raise Refused("bad-signature: not bound")
    if question.get("kind") == "remember" and header["idling"]:
        raise Refused("bad-format: a remember token that was touched")
    for index, ikm in enumerate(key_material(question)):
        if hmac.compare_digest(mac_of(question, ikm, header["id"], header["flags"], data[:66]), header["mac"]):
            break
    else:
        raise Refused("bad-signature: no key fits")
    payload, info = token[HEADER_TEXT:], {}
    if not in_cookie:
        record = json.loads(question["record"])
        payload = record[0]
        if len(record) > 1:
            info = json.loads(to_bytes(record[1], "the info"))
    if len(payload) != header["size"]:
        raise Refused("bad-format: not the length it names")
    cipher, iv = cipher_of(question, ikm, header["id"])
    try:
        plain = cipher.decrypt(iv, to_bytes(payload, "the payload") + header["tag"], data[:47])
    except InvalidTag as error:
        raise Refused("bad-signature: the content does not belong to the header") from error
    if header["flags"] & FLAG_DEFLATE:
        unpacker = zlib.decompressobj(-15)
        plain = unpacker.decompress(plain) + unpacker.flush()
        if not unpacker.eof:
            raise Refused("bad-format: the content is cut")
    found = audiences(plain, in_cookie, info)
    own = next((part for part in found if part["audience"] == question.get("audience", "default")), None)
    answer = {
        "ok": True, "has_audience": own is not None, "id": to_text(header["id"]), "key": storage_key(question, header["id"]),
        "key_index": index, "json": plain.decode(), "audiences": found,
        "header": {"flags": header["flags"], "created": header["created"], "rolling_offset": header["rolling"],
                   "data_size": header["size"], "idling_offset": header["idling"]},
    }
    answer.update(own or {"subject": None, "data": {}, "info": {}})
    return answer


def record(question):
    subject = question["subject"].encode()
    subject = hashlib.sha256(subject).digest()[:16] if question.get("hash_subject") else subject
    return {"ok": True, "audience": to_text(question["audience"].encode()), "subject": to_text(subject)}


def main():
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = {"encode": encode, "decode": decode, "record": record}[question["op"]](question)
        except Refused as refusal:
            status, _, why = str(refusal).partition(": ")
            answer = {"ok": False, "status": status, "error": why}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
